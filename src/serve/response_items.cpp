#include "serve/response_items.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/quotes.h"

namespace aviary {

using Json = nlohmann::ordered_json;

namespace {

// The text of a part of a message.
std::string item_part_text(const Fields& part) {
  const std::string type = part.required_text("type");
  if (type == "input_image" || type == "input_file" || type == "input_audio" || type == "input_video")
    refuse_field(part.path(), fmt::format("this model reads text only, no part of the type {}", type));
  if (type == "refusal") return part.required_text("refusal");
  if (type == "input_text" || type == "output_text" || type == "text" || type == "summary_text" ||
      type == "reasoning_text")
    return part.required_text("text");
  refuse_field(part.path_of("type"),
               fmt::format("expected input_text or output_text, got {}", in_quotes(type)));
}

// A text, or the texts of a list of parts.
std::vector<std::string> part_texts(const Fields& item, std::string_view name) {
  const Json* value = item.find(name);
  if (value == nullptr) return {};
  if (value->is_string()) return {value->get<std::string>()};
  if (!value->is_array()) item.refuse(name, "a text or a list of parts");
  std::vector<std::string> texts;
  for (const Fields& part : item.objects(name)) texts.push_back(item_part_text(part));
  return texts;
}

std::string joined(const std::vector<std::string>& texts, std::string_view between) {
  return fmt::format("{}", fmt::join(texts, between));
}

Json read_message_item(const Fields& item, const std::string& id) {
  item.at("role", "a text");
  const std::string role = item.word("role", {"user", "assistant", "system", "developer"}).value_or("");
  item.at("content", "a text or a list of parts");
  Json parts = Json::array();
  for (const std::string& text : part_texts(item, "content")) {
    Json part = {{"type", role == "assistant" ? "output_text" : "input_text"}, {"text", text}};
    if (role == "assistant") part["annotations"] = Json::array();
    parts.push_back(std::move(part));
  }
  return {{"type", "message"}, {"id", id}, {"status", "completed"}, {"role", role}, {"content", parts}};
}

// What the model thought lies in "content"; a summary of it counts where that is missing.
Json read_reasoning_item(const Fields& item, const std::string& id) {
  std::vector<std::string> texts = part_texts(item, "content");
  if (texts.empty()) texts = part_texts(item, "summary");
  Json summary = Json::array();
  for (const std::string& text : texts) summary.push_back({{"type", "summary_text"}, {"text", text}});
  return {{"type", "reasoning"}, {"id", id}, {"summary", summary}};
}

Json read_call_item(const Fields& item, const std::string& id) {
  return {{"type", "function_call"},
          {"id", id},
          {"call_id", item.required_text("call_id")},
          {"name", item.required_text("name")},
          {"arguments", item.required_text("arguments")},
          {"status", "completed"}};
}

Json read_output(const Fields& item, const std::string& id) {
  item.at("output", "a text or a list of parts");
  return {{"type", "function_call_output"},
          {"id", id},
          {"call_id", item.required_text("call_id")},
          {"output", joined(part_texts(item, "output"), "\n")},
          {"status", "completed"}};
}

std::string texts_of(const Json& parts, std::string_view between) {
  std::vector<std::string> texts;
  for (const Json& part : parts) texts.push_back(part["text"].get<std::string>());
  return joined(texts, between);
}

// The turn of the assistant that goes on, or a new one.
Message& turn(std::vector<Message>& messages, bool goes_on) {
  if (messages.empty() || messages.back().role != Role::assistant || !goes_on)
    messages.push_back({.role = Role::assistant});
  return messages.back();
}

void add_message(const Json& item, std::vector<Message>& messages) {
  const std::string& role = item["role"].get_ref<const std::string&>();
  if (role == "user") {
    messages.push_back({.role = Role::user, .content = texts_of(item["content"], "\n")});
  } else if (role != "assistant") {
    messages.push_back({.role = Role::system, .content = texts_of(item["content"], "\n")});
  } else {
    const bool only_thought =
        !messages.empty() && messages.back().content.empty() && messages.back().calls.empty();
    turn(messages, only_thought).content = texts_of(item["content"], "");
  }
}

void add_output(const Json& item, std::vector<Message>& messages) {
  Message result = {.role = Role::tool, .content = item["output"].get<std::string>()};
  result.call_id = item["call_id"].get<std::string>();
  for (const Message& message : messages)
    for (const ToolCall& call : message.calls)
      if (call.id == result.call_id) result.name = call.name;
  messages.push_back(std::move(result));
}

}  // namespace

Json read_item(const Fields& item, const std::string& fresh_id) {
  const std::string type = item.text("type").value_or(item.has("role") ? "message" : "");
  const std::string id = item.text("id").value_or(fresh_id);
  if (type == "message") return read_message_item(item, id);
  if (type == "reasoning") return read_reasoning_item(item, id);
  if (type == "function_call") return read_call_item(item, id);
  if (type == "function_call_output") return read_output(item, id);
  if (type.empty()) item.refuse("type", "the type of an item");
  refuse_field(item.path_of("type"),
               fmt::format("there are no items of the type {} here, but message, reasoning, function_call, "
                           "function_call_output and item_reference",
                           in_quotes(type)));
}

void add_item(const Json& item, std::vector<Message>& messages) {
  const std::string& type = item["type"].get_ref<const std::string&>();
  if (type == "message") return add_message(item, messages);
  if (type == "function_call_output") return add_output(item, messages);
  if (type == "reasoning") {
    turn(messages, false).reasoning = texts_of(item["summary"], "\n");
    return;
  }
  turn(messages, true)
      .calls.push_back({.id = item["call_id"].get<std::string>(),
                        .name = item["name"].get<std::string>(),
                        .arguments = item["arguments"].get<std::string>()});
}

}  // namespace aviary
