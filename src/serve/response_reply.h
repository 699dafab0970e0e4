// What a task reports, as a response of OpenAI's Responses and as the events of its stream.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "serve/task.h"

namespace aviary {

// The items of the output follow the order in which the model writes: a thought ("reasoning"), text
// ("message"), calls of tools ("function_call"). Each is announced by response.output_item.added and ended by
// response.output_item.done; what its parts tell lies between. Official clients demand this order, and refuse
// a piece of text of an item or a part that was not announced. A response without any text has one empty
// message.
class ResponseReply {
 public:
  using Json = nlohmann::ordered_json;
  // Called with each event; its name is its member "type".
  using Emit = std::function<void(const Json& event)>;

  // `response` is the object with all its fields, as it will be at the end but for status, completed_at,
  // incomplete_details, error, output, usage. `emit` may be empty.
  ResponseReply(Json response, Emit emit);

  // response.created and response.in_progress.
  void started();
  void delta(const Delta& delta);
  void end(const ChoiceEnd& end);
  // Completes the response, whose status becomes "completed", "incomplete" or "cancelled". `now` is in
  // seconds since 1970.
  void finished(const Usage& usage, int64_t now);
  // Completes it with the status "failed".
  void failed(const TaskError& error);
  // The last event, after finished() or failed(): response.completed, response.incomplete or response.failed.
  void announce_end();

  const Json& response() const { return response_; }

 private:
  void emit(std::string_view type, const Json& fields);
  void emit_response(std::string_view type);
  void emit_part(std::string_view type, Json fields);
  Json& item() { return response_["output"].back(); }
  void open(Json item);
  void close(const char* status);
  void close_reasoning();
  void close_message();
  void close_call();
  void add_reasoning(const std::string& text);
  void add_text(const Delta& delta);
  void add_call(const Delta::Call& call);

  Json response_;
  Emit emit_;
  int64_t sequence_ = 0;        // number of the next event
  std::string_view open_ = {};  // type of the last item while it may grow, or empty
  int64_t call_ = -1;           // number of the call that this item is
  Json logprobs_;               // of tokens whose text has not come yet
  FinishReason reason_ = FinishReason::stop;
};

// The ids of the items of a response follow from its own, so that an item leads to its response:
// item_id("resp_1a2b", "msg", "0") is "msg_1a2b_0".
std::string item_id(const std::string& response_id, std::string_view prefix, std::string_view suffix);
// "resp_1a2b" for "msg_1a2b_0"; empty for a text that is no such id.
std::string response_of_item(std::string_view id);

nlohmann::ordered_json response_usage(const Usage& usage);
// {"code", "message"}: how a response tells why it failed.
nlohmann::ordered_json response_error(const TaskError& error);

}  // namespace aviary
