#include "chat/chat_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "chat/clean.h"
#include "chat/tools.h"

namespace aviary {
namespace {

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  if (what.empty()) return text;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
  return text;
}

void append_lines(std::string& text, std::string_view lines) {
  if (!text.empty()) text += '\n';
  text += lines;
}

// Renders one conversation.
class Renderer {
 public:
  Renderer(const ChatTemplate& form, const std::vector<Message>& messages, Thinking thinking)
      : form_(form), messages_(messages), thinking_(form.thought.exists() ? thinking : Thinking::none) {
    add(std::string(form.opening));
  }

  void add_message(size_t index, const std::vector<Tool>& tools) {
    const Message& message = messages_[index];
    const std::string name = message.name.empty() ? std::string() : message.name + ": ";
    switch (message.role) {
      case Role::system:
        add_system(content_of(message), index == 0 ? tools : std::vector<Tool>());
        break;
      case Role::user:
        add_turn(form_.user, name + content_of(message) + effort());
        break;
      case Role::tool:
        add_turn(form_.user, fmt::format("{}:\n{}", result_title(index), content_of(message)));
        break;
      case Role::assistant:
        add_reply(message);
        add(std::string(form_.assistant.end));
        break;
    }
    chat_.message_ends.push_back(chat_.segments.size());
  }

  // Ends with a text that the model goes on with.
  void add_open_message(const Message& message) {
    add_reply(message);
    chat_.message_ends.push_back(chat_.segments.size());
    chat_.reply.thought_open = message.content.empty() && thinks(message);
    chat_.reply.trims = false;
  }

  void add_system(std::string text, const std::vector<Tool>& tools) {
    if (!tools.empty()) append_lines(text, clean(describe_tools(tools)));
    if (!text.empty()) add_turn(form_.system, text);
  }

  void add_generation_prompt() {
    add(std::string(form_.assistant.begin));
    const ThoughtForm& thought = form_.thought;
    if (!thought.exists()) return;
    chat_.reply.marker_rest = std::string(1, '>');
    chat_.reply.thought_open = thinking_ != Thinking::none;
    add(std::string(form_.reply_space) + std::string(chat_.reply.thought_open ? thought.open : thought.none));
  }

  RenderedChat take() { return std::move(chat_); }

 private:
  void add(std::string text) {
    if (!text.empty()) chat_.segments.push_back(std::move(text));
  }

  void add_turn(const TurnForm& turn, const std::string& text) {
    // A space before an empty text would be a token by itself.
    std::string_view begin = turn.begin;
    if (text.empty() && begin.ends_with(' ')) begin.remove_suffix(1);
    add(std::string(begin) + text + std::string(turn.end));
  }

  std::string clean(std::string_view text) const {
    return replaced(form_.cleans ? clean_turn(text) : unix_lines(text), form_.separator, form_.substitute);
  }
  std::string content_of(const Message& message) const { return clean(message.content); }

  // Replies may have empty lines; white space around them is not what a model writes.
  std::string written(std::string_view text) const {
    return replaced(unix_lines(form_.cleans ? trimmed(text) : text), form_.separator, form_.substitute);
  }

  bool thinks(const Message& message) const { return form_.thought.exists() && !message.reasoning.empty(); }

  std::string effort() const {
    if (!form_.has_effort) return {};
    if (thinking_ == Thinking::brief) return " (think a bit)";
    return thinking_ == Thinking::thorough ? " (think a lot)" : "";
  }

  void add_reply(const Message& message) {
    add(std::string(form_.assistant.begin));
    std::string text = written(message.content);
    for (const ToolCall& call : message.calls) append_lines(text, written_call(call));
    const ThoughtForm& thought = form_.thought;
    const std::string space(form_.reply_space);
    if (thinks(message)) {
      add(space + std::string(thought.open));
      std::string thoughts = std::string(thought.before) + written(message.reasoning);
      add(text.empty() ? thoughts : thoughts + std::string(thought.end) + text);
    } else if (thought.exists() && thinking_ == Thinking::none) {
      add(space + std::string(thought.none));
      add(std::string(thought.after_none) + text);
    } else if (!text.empty()) {
      add(space + text);
    }
  }

  // The heading of a result; with its name if the reply before it called several tools.
  std::string result_title(size_t index) const {
    size_t reply = index;
    while (reply > 0 && messages_[reply].role == Role::tool) --reply;
    const std::vector<ToolCall>& calls = messages_[reply].calls;
    std::string name = messages_[index].name;
    for (const ToolCall& call : calls)
      if (name.empty() && !call.id.empty() && call.id == messages_[index].call_id) name = call.name;
    return calls.size() > 1 && !name.empty() ? "Function output of " + name : "Function output";
  }

  const ChatTemplate& form_;
  const std::vector<Message>& messages_;
  const Thinking thinking_;
  RenderedChat chat_;
};

constexpr ThoughtForm g1_thought = {.open = "<think",
                                    .before = ">\n",
                                    .end = "\n</think>\n",
                                    .none = "<think>\n</think",
                                    .after_none = ">\n"};
constexpr ThoughtForm flower_thought = {
    .open = "<think", .before = ">", .end = "</think>", .none = "<think></think", .after_none = ">"};

const std::array<ChatTemplate, 6>& all_templates() {
  static const std::array<ChatTemplate, 6> all = {
      ChatTemplate{
          .name = "world",
          .description = "User: ... Assistant: ..., of the World models",
          .system = {"System: ", "\n\n"},
          .user = {"User: ", "\n\n"},
          .assistant = {"Assistant:", "\n\n"},
          .reply_space = " ",
          .stops = {"\n\nUser:", "\n\nSystem:", "\n\nAssistant:"},
      },
      ChatTemplate{
          .name = "g1",
          .description = "the turns of world, with thoughts, of RWKV-7 G1",
          .system = {"System: ", "\n\n"},
          .user = {"User: ", "\n\n"},
          .assistant = {"Assistant:", "\n\n"},
          .reply_space = " ",
          .thought = g1_thought,
          .has_effort = true,
          .stops = {"\n\nUser:", "\n\nSystem:", "\n\nAssistant:"},
      },
      // Its separator is one token of the World vocabulary, 10060.
      ChatTemplate{
          .name = "flower",
          .description = "System✿...✿ User✿...✿ Bot✿...✿, of later RWKV-7 G1",
          .system = {"System✿", "✿\n"},
          .user = {"User✿", "✿\n"},
          .assistant = {"Bot✿", "✿\n"},
          .thought = flower_thought,
          .has_effort = true,
          .separator = "✿",
          .substitute = "❀",
          .stops = {"✿"},
      },
      ChatTemplate{
          .name = "raven",
          .description = "# Instruction: ... # Response: ..., of the Raven models",
          .system = {"", "\n\n"},
          .user = {"# Instruction:\n", "\n\n"},
          .assistant = {"# Response:\n", "\n\n"},
          .stops = {"\n\n# Instruction:", "\n\n# Response:"},
      },
      ChatTemplate{
          .name = "qa",
          .description = "Question: ... Detailed Expert Answer: ..., for models without training on chats",
          .opening = "\nQ & A\n\n",
          .system = {"", "\n\n"},
          .user = {"Question:\n", "\n\n"},
          .assistant = {"Detailed Expert Answer:\n", "\n\n"},
          .stops = {"\n\nQuestion:", "\n\nDetailed Expert Answer:", "\n\nQ & A"},
      },
      // The conversation is one text, which the model goes on with.
      ChatTemplate{
          .name = "plain",
          .description = "the contents alone; a reply continues the text before it",
          .system = {"", "\n\n"},
          .assistant = {"", "\n\n"},
          .cleans = false,
      },
  };
  return all;
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return c >= 'a' && c <= 'z'; }

// Whether one of the words of a name (in lower case) is g1, g1a, g1a2, ...
bool names_g1(std::string_view name) {
  for (size_t at = 0; (at = name.find("g1", at)) != std::string_view::npos; ++at) {
    if (at > 0 && (is_digit(name[at - 1]) || is_letter(name[at - 1]))) continue;
    size_t end = at + 2;
    if (end < name.size() && is_letter(name[end])) ++end;
    if (end < name.size() && is_digit(name[end])) ++end;
    if (end == name.size() || (!is_digit(name[end]) && !is_letter(name[end]))) return true;
  }
  return false;
}

}  // namespace

std::string RenderedChat::text() const {
  std::string all;
  for (const std::string& segment : segments) all += segment;
  return all;
}

RenderedChat ChatTemplate::render(const std::vector<Message>& messages, const std::vector<Tool>& tools,
                                  Thinking thinking, bool continue_last) const {
  Renderer renderer(*this, messages, thinking);
  const bool open = continue_last && !messages.empty() && messages.back().role == Role::assistant &&
                    messages.back().calls.empty();
  if (messages.empty() || messages.front().role != Role::system) renderer.add_system({}, tools);
  for (size_t i = 0; i + (open ? 1 : 0) < messages.size(); ++i) renderer.add_message(i, tools);
  if (open)
    renderer.add_open_message(messages.back());
  else
    renderer.add_generation_prompt();
  RenderedChat chat = renderer.take();
  for (const std::string_view stop : stops) chat.stops.emplace_back(stop);
  chat.reply.thoughts = cleans;
  if (!cleans) chat.reply.trims = false;
  for (const Tool& tool : tools) chat.reply.tools.push_back(tool.name);
  return chat;
}

const ChatTemplate* find_chat_template(std::string_view name) {
  for (const ChatTemplate& one : all_templates())
    if (one.name == name) return &one;
  return nullptr;
}

std::vector<std::string> chat_template_names() {
  std::vector<std::string> names;
  for (const ChatTemplate& one : all_templates()) names.emplace_back(one.name);
  return names;
}

const ChatTemplate& detect_chat_template(const ChatFacts& facts) {
  const std::string file = lower(facts.file_name);
  if (const ChatTemplate* named = find_chat_template(facts.stored)) return *named;
  if (names_g1(file)) return *find_chat_template("g1");
  if (file.find("raven") != std::string::npos) return *find_chat_template("raven");
  return *find_chat_template(facts.published_world || facts.stored == "rwkv-world" ? "world" : "plain");
}

std::optional<Thinking> thinking_named(std::string_view word) {
  struct Name {
    std::string_view word;
    Thinking thinking;
  };
  static constexpr Name names[] = {
      {"none", Thinking::none},        {"off", Thinking::none},       {"minimal", Thinking::brief},
      {"low", Thinking::brief},        {"a bit", Thinking::brief},    {"brief", Thinking::brief},
      {"medium", Thinking::usual},     {"on", Thinking::usual},       {"usual", Thinking::usual},
      {"high", Thinking::thorough},    {"xhigh", Thinking::thorough}, {"a lot", Thinking::thorough},
      {"thorough", Thinking::thorough}};
  for (const Name& name : names)
    if (name.word == word) return name.thinking;
  return {};
}

}  // namespace aviary
