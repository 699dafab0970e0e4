#include "serve/anthropic_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/quotes.h"
#include "chat/clean.h"
#include "serve/json_fields.h"
#include "serve/openai_request.h"

namespace aviary {

using Json = nlohmann::ordered_json;

namespace {

constexpr int64_t any = std::numeric_limits<int64_t>::max();

void add_line(std::string& text, const std::string& line) {
  if (!text.empty() && !line.empty()) text += '\n';
  text += line;
}

// A document that is plain text, or consists of blocks of text.
std::string document_text(const Fields& block) {
  const std::optional<Fields> source = block.object("source");
  if (source && source->text("type") == "text") return source->required_text("data");
  refuse_field(block.path(), "this model reads text only; send the document as text");
}

// The text of a block of a user's message or of the result of a tool.
std::string block_text(const Fields& block) {
  const std::string type = block.required_text("type");
  if (type == "text") return block.required_text("text");
  if (type == "document") return document_text(block);
  if (type == "image") refuse_field(block.path(), "this model reads text only, no images");
  refuse_field(
      block.path_of("type"),
      fmt::format("expected text, document, tool_use, tool_result or thinking, got {}", in_quotes(type)));
}

// A text, or the texts of a list of blocks, one below the other.
std::string content_text(const Fields& owner, std::string_view name) {
  const Json* content = owner.find(name);
  if (content == nullptr) return {};
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) owner.refuse(name, "a text or a list of blocks");
  std::string text;
  for (const Fields& block : owner.objects(name)) add_line(text, block_text(block));
  return text;
}

std::string system_text(const Fields& body) {
  const Json* system = body.find("system");
  if (system == nullptr) return {};
  if (system->is_string()) return without_billing_line(system->get<std::string>());
  std::string text;
  for (const Fields& block : body.objects("system")) add_line(text, without_billing_line(block_text(block)));
  return text;
}

class Conversation {
 public:
  explicit Conversation(std::vector<Message>& messages) : messages_(messages) {}

  void add(const Fields& message) {
    message.at("role", "a text");
    const std::string role = message.word("role", {"user", "assistant", "system"}).value_or("");
    const Json& content = message.at("content", "a text or a list of blocks");
    if (role == "assistant")
      add_assistant(message, content);
    else if (role == "user")
      add_user(message, content);
    else
      messages_.push_back({.role = Role::system, .content = content_text(message, "content")});
  }

 private:
  // Results of tools among the blocks are messages of their own, in the order of the blocks.
  void add_user(const Fields& message, const Json& content) {
    if (content.is_string()) {
      messages_.push_back({.role = Role::user, .content = content.get<std::string>()});
      return;
    }
    if (!content.is_array()) message.refuse("content", "a text or a list of blocks");
    bool new_turn = true;
    for (const Fields& block : message.objects("content")) {
      if (block.text("type") == "tool_result") {
        add_result(block);
        new_turn = true;
        continue;
      }
      if (std::exchange(new_turn, false)) messages_.push_back({.role = Role::user});
      add_line(messages_.back().content, block_text(block));
    }
  }

  void add_result(const Fields& block) {
    Message result = {.role = Role::tool, .content = content_text(block, "content")};
    if (block.flag("is_error").value_or(false)) result.content = "Error: " + result.content;
    result.call_id = block.required_text("tool_use_id");
    for (const Message& message : messages_)
      for (const ToolCall& call : message.calls)
        if (call.id == result.call_id) result.name = call.name;
    messages_.push_back(std::move(result));
  }

  void add_assistant(const Fields& message, const Json& content) {
    Message turn = {.role = Role::assistant};
    if (content.is_string())
      turn.content = content.get<std::string>();
    else if (!content.is_array())
      message.refuse("content", "a text or a list of blocks");
    else
      for (const Fields& block : message.objects("content")) add_block(turn, block);
    if (turn.content.empty() && turn.reasoning.empty() && turn.calls.empty()) return;
    messages_.push_back(std::move(turn));
  }

  // The texts follow each other without a line break, since a message is cut into blocks where a call lies
  // between.
  static void add_block(Message& turn, const Fields& block) {
    const std::string type = block.required_text("type");
    if (type == "thinking")
      turn.reasoning += block.required_text("thinking");
    else if (type == "redacted_thinking")
      return;  // readable by Anthropic only
    else if (type == "tool_use")
      turn.calls.push_back({.id = block.required_text("id"),
                            .name = block.required_text("name"),
                            .arguments = json_text(block.at("input", "an object"))});
    else
      turn.content += block_text(block);
  }

  std::vector<Message>& messages_;
};

// Only a tool of the client has a schema or no type.
void read_anthropic_tools(const Fields& body, ChatTask& task) {
  for (const Fields& tool : body.objects("tools")) {
    if (tool.text("type").value_or("custom") != "custom") continue;
    Tool read = {.name = tool.required_text("name"), .description = tool.text("description").value_or("")};
    if (const std::optional<Fields> schema = tool.object("input_schema"))
      read.parameters = json_text(schema->json());
    read.strict = tool.flag("strict").value_or(false);
    task.tools.push_back(std::move(read));
  }
}

void read_anthropic_tool_choice(const Fields& body, ChatTask& task) {
  const std::optional<Fields> choice = body.object("tool_choice");
  if (!choice) return;
  task.parallel_calls = !choice->flag("disable_parallel_tool_use").value_or(false);
  choice->at("type", "a text");
  const std::string type = choice->word("type", {"auto", "any", "tool", "none"}).value_or("auto");
  using Kind = ToolChoice::Kind;
  if (type == "none") task.tool_choice.kind = Kind::none;
  if (type == "any") task.tool_choice.kind = Kind::required;
  if (type == "tool") task.tool_choice = {.kind = Kind::named, .name = choice->required_text("name")};
  const bool known = std::any_of(task.tools.begin(), task.tools.end(),
                                 [&](const Tool& tool) { return tool.name == task.tool_choice.name; });
  if (type == "tool" && !known)
    refuse_field("tool_choice.name", fmt::format("expected the name of one of the tools, got {}",
                                                 in_quotes(task.tool_choice.name)));
  if (type == "any" && task.tools.empty())
    refuse_field("tool_choice", "a tool must be called, but there are no tools");
}

// How much to think. Without "thinking" the template decides.
void read_anthropic_thinking(const Fields& body, ChatTask& task) {
  std::optional<std::string> effort;
  if (const std::optional<Fields> output = body.object("output_config")) {
    effort = output->word("effort", {"low", "medium", "high", "xhigh", "max"});
    if (const std::optional<Fields> format = output->object("format")) {
      format->word("type", {"json_schema"});
      task.options.format = {.kind = ResponseFormat::Kind::json_schema,
                             .source = json_text(format->at("schema", "an object"))};
    }
  }
  const std::optional<Fields> thinking = body.object("thinking");
  if (!thinking) return;
  thinking->at("type", "a text");
  if (thinking->word("type", {"enabled", "disabled", "adaptive"}).value_or("") == "disabled") {
    task.thinking = Thinking::none;
    return;
  }
  task.thinking_tokens = thinking->integer("budget_tokens", 1, any);
  if (effort == "low") task.thinking = Thinking::brief;
  if (effort == "high" || effort == "xhigh" || effort == "max") task.thinking = Thinking::thorough;
}

void read_stops(const Fields& body, TaskOptions& options) {
  const std::vector<std::string> stops = body.texts("stop_sequences");
  for (size_t i = 0; i < stops.size(); ++i)
    if (stops[i].empty()) refuse_field(fmt::format("stop_sequences[{}]", i), "expected a text, got \"\"");
  options.stop.insert(options.stop.end(), stops.begin(), stops.end());
}

}  // namespace

AnthropicRequest read_anthropic_request(const Json& json, const Call& call) {
  const Fields body(json);
  AnthropicRequest request;
  ChatTask& task = request.task;
  body.required_text("model");
  RequestBasics basics = read_basics(call, body);
  body.integer("max_tokens", 1, any);  // others may ask for none
  read_max_tokens(call, body, {"max_tokens"}, basics.options);
  task.model = basics.model.name;
  task.options = std::move(basics.options);
  request.stream = basics.stream;
  if (std::string text = system_text(body); !text.empty())
    task.messages.push_back({.role = Role::system, .content = std::move(text)});
  Conversation conversation(task.messages);
  body.at("messages", "a list of messages");
  const std::vector<Fields> messages = body.objects("messages");
  if (messages.empty()) refuse_field("messages", "expected at least one message");
  for (const Fields& message : messages) conversation.add(message);
  read_anthropic_tools(body, task);
  read_anthropic_tool_choice(body, task);
  read_anthropic_thinking(body, task);
  read_stops(body, task.options);
  return request;
}

}  // namespace aviary
