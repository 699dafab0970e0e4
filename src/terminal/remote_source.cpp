// Replies of a server with OpenAI's protocol; states are those of aviary serve (docs/states.md).
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "serve/router.h"
#include "terminal/reply_source.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

constexpr int deepest_answer = 64;

std::string text_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t count_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

// The member as an object; an empty one if there is none.
Json object_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_object() ? *found : Json::object();
}

Json list_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_array() ? *found : Json::array();
}

double number_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

// {"error":{"message":...}} or {"error":"..."}; else the text itself.
std::string complaint_of(const std::string& body) {
  const auto json = try_parse_json(body);
  if (!json || !json->is_object() || !json->contains("error")) return excerpt(body);
  const auto& error = (*json)["error"];
  if (error.is_string()) return error.get<std::string>();
  return error.is_object() && error.contains("message") && error["message"].is_string()
             ? error["message"].get<std::string>()
             : excerpt(body);
}

std::vector<TokenLogprob> logprobs_of(const Json& choice) {
  std::vector<TokenLogprob> tokens;
  for (const Json& entry : list_of(object_of(choice, "logprobs"), "content")) {
    if (!entry.is_object()) continue;
    TokenLogprob token{.bytes = text_of(entry, "token"), .logprob = number_of(entry, "logprob")};
    for (const Json& other : list_of(entry, "top_logprobs"))
      if (other.is_object()) token.top.push_back({0, text_of(other, "token"), number_of(other, "logprob")});
    tokens.push_back(std::move(token));
  }
  return tokens;
}

// The letters, digits and signs that stand for themselves in a URL; all others as %XX.
std::string percent_encoded(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    encoded += plain ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return encoded;
}

FinishReason reason_named(const std::string& name) {
  return name == "length" ? FinishReason::length : FinishReason::stop;
}

// Takes a stream of events apart.
class Events {
 public:
  Events(ReplyOutcome& outcome, const ReplyWatch& watch) : outcome_(outcome), watch_(watch) {}

  void push(std::string_view bytes) {
    held_ += bytes;
    for (size_t end; (end = held_.find('\n')) != std::string::npos; held_.erase(0, end + 1)) {
      std::string_view line = std::string_view(held_).substr(0, end);
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.starts_with("data:")) read(line.substr(line.starts_with("data: ") ? 6 : 5));
    }
  }

 private:
  void read(std::string_view data) {
    if (data == "[DONE]") return;
    const Json json = parse_ordered_json(data, "the answer of the server", deepest_answer);
    require(json.is_object(), "the answer of the server has an event that is no object");
    if (json.contains("error")) fail("the server: {}", complaint_of(std::string(data)));
    for (const Json& choice : list_of(json, "choices")) {
      if (!choice.is_object()) continue;
      const Json part = object_of(choice, "delta");
      Delta delta{.reasoning = text_of(part, "reasoning_content"), .content = text_of(part, "content")};
      delta.logprobs = logprobs_of(choice);
      if (const std::string reason = text_of(choice, "finish_reason"); !reason.empty())
        outcome_.reason = reason_named(reason);
      if (!delta.reasoning.empty() || !delta.content.empty() || !delta.logprobs.empty()) watch_.delta(delta);
    }
    const Json usage = object_of(json, "usage");
    if (usage.empty()) return;
    outcome_.usage.prompt_tokens = count_of(usage, "prompt_tokens");
    outcome_.usage.tokens = count_of(usage, "completion_tokens");
    outcome_.usage.cached_tokens = count_of(object_of(usage, "prompt_tokens_details"), "cached_tokens");
  }

  ReplyOutcome& outcome_;
  const ReplyWatch& watch_;
  std::string held_;
};

Json messages_of(const ReplyRequest& request) {
  constexpr const char* roles[] = {"system", "user", "assistant", "tool"};
  Json messages = Json::array();
  for (const Message& message : request.messages) {
    Json json = {{"role", roles[static_cast<size_t>(message.role)]}, {"content", message.content}};
    if (!message.reasoning.empty()) json["reasoning_content"] = message.reasoning;
    messages.push_back(std::move(json));
  }
  return messages;
}

std::string text_in_json(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The body of a request for the state after the messages.
std::string remote_state_body(const ReplyRequest& request, const std::string& model) {
  Json body = {{"model", model}};
  if (request.state.empty())
    body["messages"] = messages_of(request);
  else
    body["from"] = {{"state", request.state}, {"messages", messages_of(request)}};
  return text_in_json(body);
}

class RemoteSource : public ReplySource {
 public:
  RemoteSource(std::string url, std::string model, const std::string& key)
      : url_(std::move(url)), model_(std::move(model)) {
    while (url_.ends_with('/')) url_.pop_back();
    if (!url_.ends_with("/v1")) url_ += "/v1";
    if (!key.empty()) headers_.emplace_back("authorization", "Bearer " + key);
    if (model_.empty()) model_ = first_model();
  }

  ReplyOutcome reply(const ReplyRequest& request, const ReplyWatch& watch) override {
    const http::HttpClient client(url_, {.cancelled = watch.stopped});
    ReplyOutcome outcome;
    Events events(outcome, watch);
    const auto begin = std::chrono::steady_clock::now();
    const http::ClientReply answer = client.stream("POST", "/chat/completions", json_headers(),
                                                   remote_body(request, model_), [&](std::string_view bytes) {
                                                     events.push(bytes);
                                                     return true;
                                                   });
    if (answer.status >= 400) fail("the server answers {}: {}", answer.status, complaint_of(answer.body));
    if (!answer.complete) outcome.reason = FinishReason::canceled;
    outcome.usage.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return outcome;
  }

  ~RemoteSource() override {
    try {
      for (const std::string& id : states_) ask("DELETE", "/states/" + id, "");
    } catch (const Error&) {  // the server is gone, and with it what was kept for this conversation
    }
  }

  std::string state_after(const ReplyRequest& request) override {
    const std::string path = "/states/" + kept(ask("POST", "/states", remote_state_body(request, model_)));
    return ask("GET", path + "/content", "");
  }

  // The server asks for a name; the id is what counts.
  std::string take_state(const std::string& bytes) override {
    return kept(ask(
        "PUT", fmt::format("/states/{}/content?model={}", new_id("chat_"), percent_encoded(model_)), bytes));
  }

  std::string mix_states(const std::vector<std::pair<std::string, double>>& parts) override {
    Json list = Json::array();
    for (const auto& [state, weight] : parts) list.push_back({{"id", state}, {"weight", weight}});
    return kept(ask("POST", "/states/mix", Json{{"parts", std::move(list)}}.dump()));
  }

  std::string model() const override { return model_; }
  std::string chat_template() const override { return ""; }

 private:
  http::Headers json_headers() const {
    http::Headers headers = headers_;
    headers.emplace_back("content-type", "application/json");
    return headers;
  }

  // The body of the answer to a request about states.
  std::string ask(const char* method, const std::string& path, const std::string& body) const {
    std::string bytes;
    const http::ClientReply answer =
        http::HttpClient(url_).stream(method, path, json_headers(), body, [&](std::string_view piece) {
          bytes += piece;
          return true;
        });
    if (answer.status >= 400) fail("the server answers {}: {}", answer.status, complaint_of(answer.body));
    return bytes;
  }

  // The id of the state that an answer describes, which is removed at the end.
  std::string kept(const std::string& answer) {
    const Json state = parse_ordered_json(answer, "the answer of the server", deepest_answer);
    const std::string id = state.is_object() ? text_of(state, "id") : "";
    require(!id.empty() && percent_encoded(id) == id, "{}: the server keeps no states; aviary serve does",
            url_);
    return states_.emplace_back(id);
  }

  std::string first_model() const {
    const http::ClientReply answer = http::HttpClient(url_).get("/models", headers_);
    if (answer.status >= 400) fail("the server answers {}: {}", answer.status, complaint_of(answer.body));
    const Json list = parse_ordered_json(answer.body, "the server's list of models", deepest_answer);
    const Json models = list.is_object() ? list_of(list, "data") : Json::array();
    require(!models.empty() && models[0].is_object(), "{}: the server lists no model; name one", url_);
    return text_of(models[0], "id");
  }

  std::string url_, model_;
  http::Headers headers_;
  std::vector<std::string> states_;  // that the server keeps for this conversation
};

}  // namespace

std::string remote_body(const ReplyRequest& request, const std::string& model) {
  Json body = {{"model", model}, {"messages", messages_of(request)}, {"stream", true}};
  if (!request.state.empty()) body["state"] = request.state;
  body["stream_options"] = {{"include_usage", true}};
  body["logprobs"] = true;
  body["top_logprobs"] = 5;
  const auto set = [&](const char* name, const auto& value) {
    if (value) body[name] = *value;
  };
  set("temperature", request.settings.temperature);
  set("top_p", request.settings.top_p);
  set("top_k", request.settings.top_k);
  set("presence_penalty", request.settings.presence_penalty);
  set("frequency_penalty", request.settings.frequency_penalty);
  set("max_tokens", request.settings.max_tokens);
  set("seed", request.settings.seed);
  constexpr const char* efforts[] = {nullptr, "none", "low", "high"};
  if (const char* effort = efforts[static_cast<size_t>(request.thinking)]) body["reasoning_effort"] = effort;
  return text_in_json(body);
}

std::unique_ptr<ReplySource> make_remote_source(const std::string& url, std::string model, std::string key) {
  return std::make_unique<RemoteSource>(url, std::move(model), key);
}

}  // namespace aviary
