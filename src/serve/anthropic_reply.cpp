#include "serve/anthropic_reply.h"

#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "serve/openai_reply.h"

namespace aviary {

using Json = nlohmann::ordered_json;

namespace {

const char* stop_reason(const ChoiceEnd& end) {
  switch (end.reason) {
    case FinishReason::length:
      return "max_tokens";
    case FinishReason::tool_calls:
      return "tool_use";
    default:
      return end.stop_string.empty() ? "end_turn" : "stop_sequence";
  }
}

}  // namespace

Json anthropic_usage(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", usage.cached_tokens},
          {"output_tokens", usage.tokens}};
}

std::string anthropic_call_id(const std::string& id) {
  constexpr std::string_view prefix = "call_";
  return id.starts_with(prefix) ? "toolu_" + id.substr(prefix.size()) : id;
}

Json anthropic_call_input(const std::string& arguments) {
  if (arguments.empty()) return Json::object();
  try {
    Json input = parse_ordered_json(arguments, "the arguments of a call");
    if (input.is_object()) return input;
  } catch (const Error&) {
    // Kept as text below.
  }
  return {{"INVALID_JSON", arguments}};
}

AnthropicReply::AnthropicReply(std::string id, std::string model, Emit emit)
    : id_(std::move(id)), model_(std::move(model)), emit_(std::move(emit)) {}

void AnthropicReply::emit(const Json& event) const {
  if (emit_) emit_(event);
}

void AnthropicReply::started(const Usage& usage) {
  usage_ = usage;
  usage_.tokens = 0;
  emit({{"type", "message_start"}, {"message", message()}});
  ping();
}

void AnthropicReply::ping() { emit({{"type", "ping"}}); }

void AnthropicReply::open(Json block) {
  close();
  content_.push_back(std::move(block));
  open_ = true;
  emit({{"type", "content_block_start"}, {"index", content_.size() - 1}, {"content_block", content_.back()}});
}

void AnthropicReply::close() {
  if (!open_) return;
  open_ = false;
  Json& block = content_.back();
  const size_t index = content_.size() - 1;
  if (block["type"] == "thinking")
    emit({{"type", "content_block_delta"},
          {"index", index},
          {"delta", {{"type", "signature_delta"}, {"signature", ""}}}});
  if (block["type"] == "tool_use") block["input"] = anthropic_call_input(arguments_);
  call_ = -1;
  emit({{"type", "content_block_stop"}, {"index", index}});
}

void AnthropicReply::add(const char* type, const char* field, const std::string& text) {
  if (text.empty()) return;
  if (!open_ || content_.back()["type"] != type) {
    Json block = {{"type", type}, {field, ""}};
    if (block["type"] == "thinking") block["signature"] = "";
    open(std::move(block));
  }
  content_.back()[field].get_ref<std::string&>() += text;
  emit({{"type", "content_block_delta"},
        {"index", content_.size() - 1},
        {"delta", {{"type", std::string(type) + "_delta"}, {field, text}}}});
}

void AnthropicReply::add(const Delta::Call& call) {
  if (!open_ || call_ != call.index) {
    open({{"type", "tool_use"},
          {"id", anthropic_call_id(call.id)},
          {"name", call.name},
          {"input", Json::object()}});
    call_ = call.index;
    arguments_.clear();
  }
  if (call.arguments.empty()) return;
  arguments_ += call.arguments;
  emit({{"type", "content_block_delta"},
        {"index", content_.size() - 1},
        {"delta", {{"type", "input_json_delta"}, {"partial_json", call.arguments}}}});
}

void AnthropicReply::delta(const Delta& delta) {
  add("thinking", "thinking", delta.reasoning);
  add("text", "text", delta.content);
  if (delta.call) add(*delta.call);
}

void AnthropicReply::end(const ChoiceEnd& end) {
  if (content_.empty()) open({{"type", "text"}, {"text", ""}});
  close();
  add_state(end, extra_);
  stop_reason_ = stop_reason(end);
  if (stop_reason_ == "stop_sequence") stop_sequence_ = end.stop_string;
}

void AnthropicReply::finished(const Usage& usage) {
  usage_ = usage;
  Json event = {{"type", "message_delta"},
                {"delta", {{"stop_reason", stop_reason_}, {"stop_sequence", stop_sequence_}}},
                {"usage", {{"output_tokens", usage.tokens}}}};
  event.update(extra_);
  emit(event);
  emit({{"type", "message_stop"}});
}

Json AnthropicReply::message() const {
  Json message = {{"id", id_},
                  {"type", "message"},
                  {"role", "assistant"},
                  {"model", model_},
                  {"content", content_},
                  {"stop_reason", stop_reason_},
                  {"stop_sequence", stop_sequence_},
                  {"usage", anthropic_usage(usage_)}};
  message.update(extra_);
  return message;
}

}  // namespace aviary
