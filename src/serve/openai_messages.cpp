// Messages, tools and thinking of a chat.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/quotes.h"
#include "serve/openai_request.h"
#include "serve/service.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

std::string message_part_text(const Fields& part) {
  const std::string type = part.required_text("type");
  if (type == "text" || type == "input_text" || type == "output_text") return part.required_text("text");
  if (type == "refusal") return part.required_text("refusal");
  refuse_field(part.path(), fmt::format("a part of type {} cannot be read; this server reads text only",
                                        printable(type.substr(0, 40))));
}

// A text, a list of parts, or nothing.
std::string content_of(const Fields& message) {
  const Json* content = message.find("content");
  if (content == nullptr) return "";
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) message.refuse("content", "a text or a list of parts");
  std::string text;
  for (const Fields& part : message.objects("content")) text += message_part_text(part);
  return text;
}

ToolCall call_of(const Fields& call) {
  call.at("function", "an object with name and arguments");
  const Fields function = *call.object("function");
  const Json* arguments = function.find("arguments");
  std::string text = "{}";
  if (arguments != nullptr)
    text = arguments->is_string() ? arguments->get<std::string>() : json_text(*arguments);
  return {.id = call.text("id").value_or(""), .name = function.required_text("name"), .arguments = text};
}

Message message_of(const Fields& fields) {
  fields.at("role", "a text");
  const std::string role = *fields.word("role", {"system", "developer", "user", "assistant", "tool"});
  Message message;
  message.content = content_of(fields);
  message.name = fields.text("name").value_or("");
  if (role == "user") {
    if (!fields.has("content")) fields.at("content", "a text");
  } else if (role == "assistant") {
    message.role = Role::assistant;
    message.reasoning = fields.text("reasoning_content").value_or(fields.text("reasoning").value_or(""));
    for (const Fields& call : fields.objects("tool_calls")) message.calls.push_back(call_of(call));
  } else if (role == "tool") {
    message.role = Role::tool;
    message.call_id = fields.text("tool_call_id").value_or("");
  } else {
    message.role = Role::system;
  }
  return message;
}

// Tools of types other than functions are skipped, as other servers do: some clients always send them.
std::vector<Tool> tools_of(const Fields& fields) {
  for (const char* old : {"functions", "function_call"})
    if (fields.has(old)) refuse_field(old, "this field is outdated; send tools and tool_choice");
  std::vector<Tool> tools;
  for (const Fields& tool : fields.objects("tools")) {
    if (tool.required_text("type") != "function") continue;
    tool.at("function", "an object with a name");
    const Fields function = *tool.object("function");
    const std::optional<Fields> parameters = function.object("parameters");
    tools.push_back({.name = function.required_text("name"),
                     .description = function.text("description").value_or(""),
                     .parameters = parameters ? json_text(parameters->json()) : "",
                     .strict = function.flag("strict").value_or(false)});
  }
  return tools;
}

ToolChoice choice_of(const Fields& fields, const std::vector<Tool>& tools) {
  const Json* value = fields.find("tool_choice");
  if (value == nullptr) return {};
  ToolChoice choice;
  if (value->is_string()) {
    const std::string word = *fields.word("tool_choice", {"none", "auto", "required"});
    if (word == "none") choice.kind = ToolChoice::Kind::none;
    if (word == "required") choice.kind = ToolChoice::Kind::required;
  } else {
    const Fields object = *fields.object("tool_choice");
    if (object.required_text("type") != "function") refuse_field("tool_choice.type", "expected \"function\"");
    object.at("function", "an object with a name");
    choice = {ToolChoice::Kind::named, object.object("function")->required_text("name")};
    if (std::none_of(tools.begin(), tools.end(), [&](const Tool& tool) { return tool.name == choice.name; }))
      refuse_field("tool_choice.function.name",
                   fmt::format("expected the name of one of the tools, got {}", in_quotes(choice.name)));
  }
  if (choice.kind == ToolChoice::Kind::required && tools.empty())
    refuse_field("tool_choice", "\"required\" needs at least one function in tools");
  return choice;
}

void read_openai_thinking(const Fields& fields, ChatTask& task) {
  task.thinking = read_effort(fields, "reasoning_effort");
  const auto more = fields.object("chat_template_kwargs");
  if (more && more->flag("enable_thinking") == false) task.thinking = Thinking::none;
  for (const char* name : {"reasoning_budget", "thinking_budget_tokens"}) {
    const auto budget = fields.integer(name, -1, std::numeric_limits<int64_t>::max());
    if (budget && *budget == 0) task.thinking = Thinking::none;
    if (budget && *budget > 0) task.thinking_tokens = budget;
  }
}

}  // namespace

Thinking read_effort(const Fields& fields, std::string_view name) {
  const std::string effort =
      fields.word(name, {"none", "minimal", "low", "medium", "high", "xhigh", "max"}).value_or("medium");
  if (effort == "none") return Thinking::none;
  if (effort == "minimal" || effort == "low") return Thinking::brief;
  return effort == "medium" ? Thinking::usual : Thinking::thorough;
}

std::vector<Message> read_messages(const Fields& fields) {
  fields.at("messages", "a list of messages");
  std::vector<Message> messages;
  for (const Fields& message : fields.objects("messages")) messages.push_back(message_of(message));
  if (messages.empty()) refuse_field("messages", "expected at least one message, got an empty list");
  return messages;
}

ChatTask read_chat(const Call& call, const Fields& fields, RequestBasics& basics) {
  basics = read_basics(call, fields);
  ChatTask task;
  task.model = basics.model.name;
  task.messages = read_messages(fields);
  task.tools = tools_of(fields);
  task.tool_choice = choice_of(fields, task.tools);
  task.parallel_calls = fields.flag("parallel_tool_calls").value_or(true);
  task.chat_template = fields.text("chat_template").value_or("");
  read_openai_thinking(fields, task);
  TaskOptions& options = basics.options;
  read_max_tokens(call, fields, {"max_completion_tokens", "max_tokens", "n_predict"}, options);
  options.choices = fields.integer("n", 1, 128).value_or(1);
  options.logprobs = fields.flag("logprobs").value_or(false);
  options.top_logprobs = fields.integer("top_logprobs", 0, 20).value_or(0);
  if (options.top_logprobs > 0 && !options.logprobs)
    refuse_field("top_logprobs", "expected only together with \"logprobs\": true");
  task.options = options;
  return task;
}

}  // namespace aviary
