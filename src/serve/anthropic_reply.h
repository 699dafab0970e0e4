// What a task reports, as one message of Anthropic's Messages and as the events of its stream.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "serve/task.h"

namespace aviary {

// The blocks of the message follow the order in which the model writes: a thought, text, calls of tools. The
// events of a block are content_block_start, any number of content_block_delta, content_block_stop; then the
// next block begins. A message without any text has one empty block of text, since many programs read the
// first block unasked.
class AnthropicReply {
 public:
  using Json = nlohmann::ordered_json;
  // Called with each event; its name is its member "type".
  using Emit = std::function<void(const Json& event)>;

  // `emit` may be empty.
  AnthropicReply(std::string id, std::string model, Emit emit);

  // message_start, and a ping, so that the client hears something before the prompt is read.
  void started(const Usage& usage);
  void ping();
  void delta(const Delta& delta);
  // Ends the last block; message_delta and message_stop follow with finished().
  void end(const ChoiceEnd& end);
  void finished(const Usage& usage);

  // The message so far; complete after finished().
  Json message() const;

 private:
  void emit(const Json& event) const;
  void open(Json block);
  void close();
  void add(const char* type, const char* field, const std::string& text);
  void add(const Delta::Call& call);

  std::string id_, model_;
  Emit emit_;
  Json content_ = Json::array();
  bool open_ = false;      // the last block may grow
  int64_t call_ = -1;      // the number of the call that the last block is
  std::string arguments_;  // of this call, as the model wrote them
  Json stop_reason_, stop_sequence_;
  Json extra_ = Json::object();  // the state that was kept, if one was
  Usage usage_;
};

// The members of "usage": the tokens of the prompt without those that were not read again, and these.
nlohmann::ordered_json anthropic_usage(const Usage& usage);

// The id of a call as Anthropic's clients know it, "toolu_1" for "call_1".
std::string anthropic_call_id(const std::string& id);

// The arguments of a call as an object. What is not the JSON of an object becomes the only member of one,
// "INVALID_JSON", as Anthropic recommends, so that nothing of it is lost.
nlohmann::ordered_json anthropic_call_input(const std::string& arguments);

}  // namespace aviary
