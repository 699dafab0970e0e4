// Where the replies of a conversation in the terminal come from: a model of this process, or a server.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chat/message.h"
#include "http/client.h"
#include "serve/service.h"

namespace aviary {

// What /set changes; nothing: as the model or the server has it.
struct ReplySettings {
  std::optional<double> temperature = {}, top_p = {}, presence_penalty = {}, frequency_penalty = {};
  std::optional<int64_t> top_k = {}, max_tokens = {};
  std::optional<uint64_t> seed = {};
};

struct ReplyRequest {
  std::vector<Message> messages = {};
  std::string state =
      {};  // what they follow: the name that take_state() or mix_states() gave; empty: nothing
  Thinking thinking = Thinking::usual;
  std::string chat_template = {};  // empty: that of the model
  ReplySettings settings = {};
};

// Called on the thread that asks.
struct ReplyWatch {
  std::function<void(const Delta& delta)> delta = {};
  std::function<void(int64_t read, int64_t total)> progress = {};
  std::function<bool()> stopped = {};  // asked several times a second; true ends the reply
};

struct ReplyOutcome {
  FinishReason reason = FinishReason::stop;
  Usage usage = {};
};

class ReplySource {
 public:
  virtual ~ReplySource() = default;
  // Waits until the reply is complete. Throws Error if there is none.
  virtual ReplyOutcome reply(const ReplyRequest& request, const ReplyWatch& watch) = 0;
  // States, as the bytes of their files (states/snapshot_file.h): the one after the messages of the request;
  // one to go on from, whose name is returned; and one that is mixed from several, with their weights. Throw
  // Error where there are no states, or if these are of another model.
  virtual std::string state_after(const ReplyRequest& request) = 0;
  virtual std::string take_state(const std::string& bytes) = 0;
  virtual std::string mix_states(const std::vector<std::pair<std::string, double>>& parts) = 0;
  virtual std::string model() const = 0;          // its name
  virtual std::string chat_template() const = 0;  // its name; empty if unknown
};

// The service must outlive it.
std::unique_ptr<ReplySource> make_local_source(Service& service, std::string model);
// Chat completions of OpenAI's protocol at `url`, "http://127.0.0.1:8080" or with /v1. `model` may be empty:
// the first one that the server lists. `key`: empty, or sent as Authorization: Bearer. Throws Error if the
// server cannot be reached.
std::unique_ptr<ReplySource> make_remote_source(const std::string& url, std::string model, std::string key);

// The body of a request for a chat completion.
std::string remote_body(const ReplyRequest& request, const std::string& model);

}  // namespace aviary
