#include "serve/ollama_sink.h"

#include <fmt/chrono.h>

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/json.h"
#include "serve/openai_reply.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* lines_type = "application/x-ndjson";

int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }

Json logprob_of(double logprob, const std::string& bytes) {
  Json list = Json::array();
  for (const char c : bytes) list.push_back(static_cast<unsigned char>(c));
  return {{"token", bytes}, {"logprob", logprob}, {"bytes", std::move(list)}};
}

Json logprobs_of(const std::vector<TokenLogprob>& tokens) {
  Json list = Json::array();
  for (const TokenLogprob& token : tokens) {
    Json entry = logprob_of(token.logprob, token.bytes);
    if (!token.top.empty()) entry["top_logprobs"] = Json::array();
    for (const TokenLogprob::Alternative& other : token.top)
      entry["top_logprobs"].push_back(logprob_of(other.logprob, other.bytes));
    list.push_back(std::move(entry));
  }
  return list;
}

// The arguments of a call, if they are an object.
std::optional<Json> arguments_of(const ToolCall& call) {
  try {
    Json arguments = parse_ordered_json(call.arguments.empty() ? "{}" : call.arguments, "the arguments",
                                        request_json_depth);
    return arguments.is_object() ? std::optional(std::move(arguments)) : std::nullopt;
  } catch (const std::exception&) {
    return {};
  }
}

}  // namespace

std::string ollama_time(double seconds) {
  const auto whole = static_cast<std::time_t>(std::floor(seconds));
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:09}Z", fmt::gmtime(whole),
                     static_cast<int64_t>((seconds - std::floor(seconds)) * 1e9));
}

std::string ollama_time_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const int64_t ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:09}Z", fmt::gmtime(static_cast<std::time_t>(ns / 1000000000)),
                     ns % 1000000000);
}

std::string ollama_error(const Failure& failure) { return json_text({{"error", failure.error.message}}); }

void answer_ollama(const Call& call, const Json& object, bool stream) {
  if (!stream) return respond_json(call, json_text(object));
  call.answer->begin(200, {{"Content-Type", lines_type}, {"x-request-id", call.request.id}});
  call.answer->write(json_text(object) + "\n");
  call.answer->end();
}

OllamaSink::OllamaSink(Call call, OllamaRequest request)
    : call_(std::move(call)), request_(std::move(request)) {}

void OllamaSink::started(const Usage&) {
  if (!request_.stream) return;
  call_.answer->begin(200, {{"Content-Type", lines_type}, {"x-request-id", call_.request.id}});
  begun_ = true;
}

Json OllamaSink::line_of(const Part& part) const {
  Json line = {{"model", request_.model}, {"created_at", ollama_time_now()}};
  if (!request_.chat_form) {
    line["response"] = part.content;
    if (!part.thinking.empty()) line["thinking"] = part.thinking;
  } else {
    Json message = {{"role", "assistant"}, {"content", part.content}};
    if (!part.thinking.empty()) message["thinking"] = part.thinking;
    for (const ToolCall& call : part.calls)
      message["tool_calls"].push_back(
          {{"id", call.id},
           {"function", {{"name", call.name}, {"arguments", arguments_of(call).value_or(Json::object())}}}});
    line["message"] = std::move(message);
  }
  if (!part.logprobs.empty()) line["logprobs"] = logprobs_of(part.logprobs);
  line["done"] = false;
  return line;
}

void OllamaSink::write(const Json& line) { call_.answer->write(json_text(line) + "\n"); }

void OllamaSink::show(Part part) {
  if (request_.stream) write(line_of(part));
  whole_.content += part.content;
  whole_.thinking += part.thinking;
  whole_.calls.insert(whole_.calls.end(), part.calls.begin(), part.calls.end());
  if (!request_.stream)
    whole_.logprobs.insert(whole_.logprobs.end(), part.logprobs.begin(), part.logprobs.end());
}

void OllamaSink::show_call() {
  if (!open_call_) return;
  ToolCall call = *std::exchange(open_call_, {});
  Part part;
  if (arguments_of(call))
    part.calls.push_back(std::move(call));
  else  // the text was cut off in the middle
    part.content = call.arguments;
  show(std::move(part));
}

void OllamaSink::delta(const Delta& delta) {
  if (delta.call && delta.call->index != open_index_) {
    show_call();
    open_index_ = delta.call->index;
    open_call_ = ToolCall{.id = delta.call->id, .name = delta.call->name, .arguments = ""};
  }
  if (delta.call && open_call_) open_call_->arguments += delta.call->arguments;
  if (!delta.call) show_call();
  Part part{.content = delta.content, .thinking = delta.reasoning, .logprobs = delta.logprobs};
  if (!part.content.empty() || !part.thinking.empty() || !part.logprobs.empty()) show(std::move(part));
}

void OllamaSink::choice_end(const ChoiceEnd& end) {
  show_call();
  if (end.reason == FinishReason::length) reason_ = "length";
  add_state(end, extra_);
  state_ = end.state;
}

void OllamaSink::finished(const Usage& usage) {
  Json last = line_of(request_.stream ? Part() : whole_);
  last["done"] = true;
  last["done_reason"] = reason_;
  if (extra_.is_object()) last.update(extra_);
  if (!request_.chat_form && !request_.raw) {
    std::vector<Message> messages = request_.task.messages;
    messages.push_back({.role = Role::assistant, .content = whole_.content, .reasoning = whole_.thinking});
    last["context"] = ollama_context(messages);
  }
  const double total = usage.load_seconds + usage.wait_seconds + usage.prompt_seconds + usage.seconds;
  last["total_duration"] = nanoseconds(total);
  last["load_duration"] = nanoseconds(usage.load_seconds);
  last["prompt_eval_count"] = usage.prompt_tokens;
  last["prompt_eval_duration"] = nanoseconds(usage.prompt_seconds);
  last["eval_count"] = usage.tokens;
  last["eval_duration"] = nanoseconds(usage.seconds);
  if (!request_.stream) return respond_json(call_, json_text(last), 200, state_);
  write(last);
  call_.answer->end();
}

void OllamaSink::failed(const TaskError& error) {
  if (!begun_) return respond_failure(call_, error);
  write({{"error", error.message}});
  call_.answer->end();
}

}  // namespace aviary
