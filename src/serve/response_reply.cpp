#include "serve/response_reply.h"

#include <fmt/format.h>

#include <utility>

#include "serve/openai_reply.h"

namespace aviary {

using Json = nlohmann::ordered_json;

namespace {

constexpr std::string_view reasoning = "reasoning", message = "message", function_call = "function_call";

Json text_part(const std::string& text, Json logprobs) {
  return {{"type", "output_text"},
          {"text", text},
          {"annotations", Json::array()},
          {"logprobs", std::move(logprobs)}};
}

Json summary_part(const std::string& text) { return {{"type", "summary_text"}, {"text", text}}; }

const char* default_code(TaskError::Kind kind) {
  switch (kind) {
    case TaskError::Kind::bad_request:
      return "invalid_request";
    case TaskError::Kind::not_found:
      return "not_found";
    case TaskError::Kind::too_large:
      return "context_length_exceeded";
    case TaskError::Kind::overloaded:
      return "rate_limit_exceeded";
    default:
      return "server_error";
  }
}

}  // namespace

std::string item_id(const std::string& response_id, std::string_view prefix, std::string_view suffix) {
  const std::string_view own = std::string_view(response_id).substr(response_id.find('_') + 1);
  return fmt::format("{}_{}_{}", prefix, own, suffix);
}

std::string response_of_item(std::string_view id) {
  const size_t first = id.find('_');
  const size_t last = id.rfind('_');
  if (first == last) return {};
  return fmt::format("resp_{}", id.substr(first + 1, last - first - 1));
}

Json response_usage(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"output_tokens", usage.tokens},
          {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"total_tokens", usage.total()}};
}

Json response_error(const TaskError& error) {
  return {{"code", error.code.empty() ? default_code(error.kind) : error.code}, {"message", error.message}};
}

ResponseReply::ResponseReply(Json response, Emit emit)
    : response_(std::move(response)), emit_(std::move(emit)), logprobs_(Json::array()) {
  response_["status"] = "in_progress";
  response_["completed_at"] = nullptr;
  response_["incomplete_details"] = nullptr;
  response_["error"] = nullptr;
  response_["output"] = Json::array();
  response_["usage"] = nullptr;
}

void ResponseReply::emit(std::string_view type, const Json& fields) {
  if (!emit_) return;
  Json event = {{"type", type}, {"sequence_number", sequence_++}};
  event.update(fields);
  emit_(event);
}

void ResponseReply::emit_response(std::string_view type) { emit(type, {{"response", response_}}); }

// An event about a part of the open item.
void ResponseReply::emit_part(std::string_view type, Json fields) {
  if (!emit_) return;
  Json event = {{"item_id", item()["id"]}, {"output_index", response_["output"].size() - 1}};
  if (open_ == reasoning) event["summary_index"] = 0;
  if (open_ == message) event["content_index"] = 0;
  event.update(fields);
  emit(type, event);
}

void ResponseReply::started() {
  emit_response("response.created");
  emit_response("response.in_progress");
}

void ResponseReply::open(Json item) {
  close("completed");
  response_["output"].push_back(std::move(item));
  const Json& added = response_["output"].back();
  const std::string& type = added["type"].get_ref<const std::string&>();
  open_ = type == reasoning ? reasoning : type == message ? message : function_call;
  emit("response.output_item.added", {{"output_index", response_["output"].size() - 1}, {"item", added}});
}

void ResponseReply::close_reasoning() {
  const Json& part = item()["summary"][0];
  emit_part("response.reasoning_summary_text.done", {{"text", part["text"]}});
  emit_part("response.reasoning_summary_part.done", {{"part", part}});
}

void ResponseReply::close_message() {
  const Json& part = item()["content"][0];
  emit_part("response.output_text.done", {{"text", part["text"]}, {"logprobs", part["logprobs"]}});
  emit_part("response.content_part.done", {{"part", part}});
}

void ResponseReply::close_call() {
  emit_part("response.function_call_arguments.done",
            {{"name", item()["name"]}, {"arguments", item()["arguments"]}});
}

void ResponseReply::close(const char* status) {
  if (open_.empty()) return;
  if (open_ == reasoning) close_reasoning();
  if (open_ == message) close_message();
  if (open_ == function_call) close_call();
  if (open_ != reasoning) item()["status"] = status;
  open_ = {};
  call_ = -1;
  emit("response.output_item.done", {{"output_index", response_["output"].size() - 1}, {"item", item()}});
}

void ResponseReply::add_reasoning(const std::string& text) {
  if (open_ != reasoning) {
    open({{"type", reasoning},
          {"id", item_id(response_["id"], "rs", std::to_string(response_["output"].size()))},
          {"summary", Json::array()}});
    item()["summary"].push_back(summary_part(""));
    emit_part("response.reasoning_summary_part.added", {{"part", item()["summary"][0]}});
  }
  item()["summary"][0]["text"].get_ref<std::string&>() += text;
  emit_part("response.reasoning_summary_text.delta", {{"delta", text}});
}

void ResponseReply::add_text(const Delta& delta) {
  if (open_ != message) {
    open({{"type", message},
          {"id", item_id(response_["id"], "msg", std::to_string(response_["output"].size()))},
          {"role", "assistant"},
          {"status", "in_progress"},
          {"content", Json::array()}});
    item()["content"].push_back(text_part("", Json::array()));
    emit_part("response.content_part.added", {{"part", item()["content"][0]}});
  }
  if (delta.content.empty()) return;
  Json& part = item()["content"][0];
  part["text"].get_ref<std::string&>() += delta.content;
  for (const Json& entry : logprobs_) part["logprobs"].push_back(entry);
  emit_part("response.output_text.delta",
            {{"delta", delta.content}, {"logprobs", std::exchange(logprobs_, Json::array())}});
}

void ResponseReply::add_call(const Delta::Call& call) {
  if (open_ != function_call || call_ != call.index) {
    open({{"type", function_call},
          {"id", item_id(response_["id"], "fc", std::to_string(response_["output"].size()))},
          {"call_id", call.id},
          {"name", call.name},
          {"arguments", ""},
          {"status", "in_progress"}});
    call_ = call.index;
  }
  if (call.arguments.empty()) return;
  item()["arguments"].get_ref<std::string&>() += call.arguments;
  emit_part("response.function_call_arguments.delta", {{"delta", call.arguments}});
}

void ResponseReply::delta(const Delta& delta) {
  // Of a thought and of calls the Responses have no probabilities.
  if (!delta.reasoning.empty() || delta.call)
    logprobs_ = Json::array();
  else
    for (Json& entry : logprob_list(delta.logprobs)) logprobs_.push_back(std::move(entry));
  if (!delta.reasoning.empty()) add_reasoning(delta.reasoning);
  if (!delta.content.empty()) add_text(delta);
  if (delta.call) add_call(*delta.call);
}

void ResponseReply::end(const ChoiceEnd& end) {
  reason_ = end.reason;
  add_state(end, response_);
  if (response_["output"].empty()) add_text({});
  close(reason_ == FinishReason::stop || reason_ == FinishReason::tool_calls ? "completed" : "incomplete");
}

void ResponseReply::finished(const Usage& usage, int64_t now) {
  response_["usage"] = response_usage(usage);
  if (reason_ == FinishReason::canceled) {
    response_["status"] = "cancelled";
  } else if (reason_ == FinishReason::length) {
    response_["status"] = "incomplete";
    response_["incomplete_details"] = {{"reason", "max_output_tokens"}};
  } else {
    response_["status"] = "completed";
    response_["completed_at"] = now;
  }
}

void ResponseReply::failed(const TaskError& error) {
  if (!open_.empty() && open_ != reasoning) item()["status"] = "incomplete";
  open_ = {};
  response_["status"] = "failed";
  response_["error"] = response_error(error);
}

// A stream knows no end of a response that was canceled but its failure.
void ResponseReply::announce_end() {
  const std::string& status = response_["status"].get_ref<const std::string&>();
  emit_response("response." + (status == "cancelled" ? "failed" : status));
}

}  // namespace aviary
