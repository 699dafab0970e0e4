#include "terminal/chat_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/utf8.h"
#include "chat/chat_template.h"
#include "chat/clean.h"

namespace aviary {
namespace {

constexpr int64_t largest_file = int64_t{1} << 30;  // bytes
constexpr const char* state_suffix = ".state";

void require_template(const std::string& name) {
  std::string known;
  for (const std::string& one : chat_template_names()) known += (known.empty() ? "" : ", ") + one;
  require(name.empty() || find_chat_template(name) != nullptr, "there is no template {}, but {}",
          in_quotes(name), known);
}

// The first word in lower case, and the rest.
std::pair<std::string, std::string> divided(const std::string& entry) {
  const size_t end = std::min(entry.find_first_of(" \t\n"), entry.size());
  std::string word = entry.substr(0, end);
  for (char& c : word)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return {word, std::string(trimmed(std::string_view(entry).substr(end)))};
}

}  // namespace

ChatSession::ChatSession(ReplySource& source, ChatSettings settings, ChatScreen screen)
    : source_(source), settings_(std::move(settings)), screen_(std::move(screen)) {
  require_template(settings_.chat_template);
  if (!settings_.system.empty())
    conversation_.messages().push_back({.role = Role::system, .content = settings_.system});
}

bool ChatSession::handle(const std::string& entry) {
  try {
    if (entry.starts_with("//"))
      ask(entry.substr(1));
    else if (entry.starts_with("/"))
      return run(entry);
    else if (!trimmed(entry).empty())
      ask(entry);
  } catch (const Error& error) {
    screen_.tell(error.what());
  }
  return true;
}

void ChatSession::ask(const std::string& text) {
  conversation_.messages().push_back({.role = Role::user, .content = text});
  try {
    answer();
  } catch (const Error&) {
    conversation_.messages().pop_back();
    throw;
  }
}

void ChatSession::show(const Delta& delta, Message& reply, MarkdownWriter& markdown, bool& thinks) {
  written_.insert(written_.end(), delta.logprobs.begin(), delta.logprobs.end());
  reply.reasoning += delta.reasoning;
  reply.content += delta.content;
  if (!delta.reasoning.empty()) {
    // A thought is shown dim and apart; without styles, only the reply is shown.
    if (!thinks && screen_.style.styled) screen_.write("\033[2m");
    thinks = true;
    if (screen_.style.styled) screen_.write(for_terminal(delta.reasoning));
  }
  if (delta.content.empty()) return;
  if (std::exchange(thinks, false) && screen_.style.styled) screen_.write("\033[0m\n\n");
  screen_.write(markdown.push(delta.content));
}

ReplyRequest ChatSession::request() const {
  return {.messages = conversation_.messages(),
          .state = state_,
          .thinking = settings_.thinking,
          .chat_template = settings_.chat_template,
          .settings = settings_.reply};
}

void ChatSession::answer() {
  Message reply{.role = Role::assistant};
  MarkdownWriter markdown(screen_.style);
  bool thinks = false, reading = false;
  written_.clear();
  const auto end = [&] {
    screen_.write(markdown.finish());
    if (thinks && screen_.style.styled) screen_.write("\033[0m");
  };
  try {
    last_ = source_.reply(request(), {.delta =
                                          [&](const Delta& delta) {
                                            if (std::exchange(reading, false)) screen_.write("\r\033[K");
                                            show(delta, reply, markdown, thinks);
                                          },
                                      .progress =
                                          [&](int64_t read, int64_t total) {
                                            if (!screen_.style.styled || total < 256 || read >= total) return;
                                            reading = true;
                                            screen_.write(fmt::format("\r\033[K[reading {} of {} tokens]",
                                                                      with_commas(read), with_commas(total)));
                                          },
                                      .stopped = screen_.stopped});
  } catch (const Error&) {
    end();
    if (!reply.content.empty()) screen_.write("\n");
    throw;
  }
  end();
  if (!reply.content.empty() && !reply.content.ends_with('\n')) screen_.write("\n");
  conversation_.messages().push_back(std::move(reply));
  total_.prompt_tokens += last_.usage.prompt_tokens;
  total_.cached_tokens += last_.usage.cached_tokens;
  total_.tokens += last_.usage.tokens;
  if (last_.reason == FinishReason::length)
    screen_.tell("[the reply ends at the limit of tokens; /set max_tokens N changes it]");
  if (last_.reason == FinishReason::canceled) screen_.tell("[stopped]");
}

void ChatSession::clear(const std::string&) {
  conversation_.clear();
  state_.clear();
  screen_.tell("[the conversation is empty]");
}

void ChatSession::undo(const std::string& argument) {
  const std::optional<int64_t> n = argument.empty() ? 1 : parse_bytes(argument);
  require(n && *n > 0, "/undo takes the number of questions to forget, got {}", in_quotes(argument));
  const int64_t undone = conversation_.undo(*n);
  require(undone > 0, "there is nothing to undo");
  screen_.tell(
      fmt::format("[{} forgotten]", undone == 1 ? "1 question" : fmt::format("{} questions", undone)));
}

void ChatSession::again(const std::string&) {
  const std::vector<Message> before = conversation_.messages();
  require(conversation_.forget_reply(), "there is no question to answer again");
  // The same seed would give the same reply.
  if (settings_.reply.seed) ++*settings_.reply.seed;
  try {
    answer();
  } catch (const Error&) {
    conversation_.messages() = before;
    throw;
  }
}

void ChatSession::branch(const std::string& name) {
  const std::string from = conversation_.current();
  conversation_.branch(name);
  screen_.tell(fmt::format("[branch {}, a copy of {}]", name, from));
}

void ChatSession::branches(const std::string&) {
  for (const std::string& name : conversation_.names())
    screen_.tell(fmt::format("{} {}: {} messages", name == conversation_.current() ? "*" : " ", name,
                             conversation_.length(name)));
}

void ChatSession::tell_place() {
  const std::vector<Message>& messages = conversation_.messages();
  const auto last = std::find_if(messages.rbegin(), messages.rend(),
                                 [](const Message& one) { return one.role == Role::user; });
  screen_.tell(fmt::format("[branch {}, {} messages{}]", conversation_.current(), messages.size(),
                           last == messages.rend() ? "" : "; the last question: " + excerpt(last->content)));
}

void ChatSession::go_to(const std::string& name) {
  conversation_.go_to(name);
  tell_place();
}

void ChatSession::follow(std::string state) {
  state_ = std::move(state);
  conversation_ = Conversation();
}

void ChatSession::begin_from(const std::string& state_file) {
  state_ = source_.take_state(read_file(state_file, largest_file));
}

void ChatSession::mix(const std::string& argument) {
  std::vector<std::pair<std::string, double>> parts;
  std::istringstream words(argument);
  for (std::string path, weight; words >> path;) {
    double value = 0;
    const bool has_weight = static_cast<bool>(words >> weight);
    const char* end = weight.data() + weight.size();
    const auto [last, error] = std::from_chars(weight.data(), end, value);
    require(has_weight && error == std::errc() && last == end,
            "/mix takes files of states, each with its weight, as a.state 0.5 b.state 0.5; got {}",
            in_quotes(argument));
    parts.emplace_back(source_.take_state(read_file(path, largest_file)), value);
  }
  require(!parts.empty(), "/mix takes files of states, each with its weight, as a.state 0.5 b.state 0.5");
  follow(source_.mix_states(parts));
  screen_.tell(fmt::format("[a new conversation after {} states]", parts.size()));
}

void ChatSession::save(const std::string& path) {
  require(!path.empty(), "/save takes the name of a file");
  if (path.ends_with(state_suffix)) {
    require(!conversation_.messages().empty(), "there is no conversation whose state could be saved");
    write_file_atomically(path, source_.state_after(request()));
    return screen_.tell(fmt::format("[{} is written]", printable(path)));
  }
  require(state_.empty(), "the conversation follows a state, which text cannot hold; save it to a file {}",
          in_quotes(std::string("NAME") + state_suffix));
  write_file_atomically(path, conversation_.json());
  screen_.tell(fmt::format("[{} is written]", printable(path)));
}

void ChatSession::load(const std::string& path) {
  require(!path.empty(), "/load takes the name of a file that /save wrote");
  if (path.ends_with(state_suffix)) {
    follow(source_.take_state(read_file(path, largest_file)));
    return screen_.tell(fmt::format("[a new conversation after the state of {}]", printable(path)));
  }
  conversation_ = Conversation(read_file(path, largest_file), path);
  state_.clear();
  tell_place();
}

void ChatSession::read(const std::string& path) {
  require(!path.empty(), "/read takes the name of a text file");
  std::string text = read_file(path, largest_file);
  require(is_utf8(text) && text.find('\0') == std::string::npos, "{}: not a text in UTF-8", path);
  require(!trimmed(text).empty(), "{}: the file is empty", path);
  const size_t bytes = text.size();
  conversation_.messages().push_back({.role = Role::user, .content = std::move(text)});
  screen_.tell(fmt::format("[{} is part of the conversation, {}; ask about it]", printable(path),
                           human_bytes(static_cast<int64_t>(bytes))));
}

void ChatSession::why(const std::string&) {
  require(!written_.empty(), "there is no reply whose probabilities are known");
  double surprise = 0;
  for (const TokenLogprob& token : written_) {
    const double bits = -token.logprob / 0.6931471805599453;
    surprise += bits;
    std::string others;
    for (const TokenLogprob::Alternative& other : token.top)
      if (other.bytes != token.bytes && other.logprob > -6.9)  // more than 0.1 %
        others += fmt::format("  {} {:.0f} %", in_quotes(other.bytes), 100 * std::exp(other.logprob));
    screen_.tell(fmt::format("{:>5.1f} bits  {:<18}{}", bits, in_quotes(token.bytes), others));
  }
  screen_.tell(fmt::format("[{} tokens, {:.2f} bits each]", with_commas(std::ssize(written_)),
                           surprise / static_cast<double>(written_.size())));
}

void ChatSession::think(const std::string& argument) {
  const std::optional<Thinking> thinking = thinking_named(argument);
  require(thinking.has_value(), "/think takes on, off, a bit or a lot, got {}", in_quotes(argument));
  settings_.thinking = *thinking;
  const ChatTemplate* form =
      find_chat_template(settings_.chat_template.empty() ? source_.chat_template() : settings_.chat_template);
  const bool none = form != nullptr && !form->thought.exists();
  screen_.tell(none ? fmt::format("[the template {} has no thoughts; this changes nothing]", form->name)
                    : fmt::format("[think: {}]", argument));
}

void ChatSession::choose_template(const std::string& name) {
  if (!name.empty()) {
    require_template(name);
    require(!source_.chat_template().empty(),
            "the template of a server's model is chosen where the server is started");
    settings_.chat_template = name;
  }
  const std::string current =
      settings_.chat_template.empty() ? source_.chat_template() : settings_.chat_template;
  for (const std::string& one : chat_template_names())
    screen_.tell(
        fmt::format("{} {:<7} {}", one == current ? "*" : " ", one, find_chat_template(one)->description));
  if (current.empty()) screen_.tell("[the server knows the template of its model]");
}

void ChatSession::statistics(const std::string&) {
  const Usage& usage = last_.usage;
  const double seconds = usage.seconds;
  screen_.tell(fmt::format(
      "last reply: prompt of {} tokens, {} of them known; {} tokens written{}",
      with_commas(usage.prompt_tokens), with_commas(usage.cached_tokens), with_commas(usage.tokens),
      seconds > 0 ? ", " + human_rate(static_cast<double>(usage.tokens) / seconds, "tokens") : ""));
  screen_.tell(fmt::format("all replies: prompts of {} tokens, {} of them known; {} tokens written",
                           with_commas(total_.prompt_tokens), with_commas(total_.cached_tokens),
                           with_commas(total_.tokens)));
}

// The commands.

struct ChatSession::Command {
  std::vector<std::string_view> names;
  std::string_view argument;  // for help; empty: it takes none
  std::string_view help;
  void (ChatSession::*run)(const std::string& argument);  // nullptr: leaves
};

const std::vector<ChatSession::Command>& ChatSession::all_commands() {
  static const std::vector<Command> all = {
      {{"/help", "/?"}, "", "show this list", &ChatSession::help},
      {{"/exit", "/quit", "/bye"}, "", "leave, like Ctrl-D", nullptr},
      {{"/clear", "/new"}, "", "forget the conversation", &ChatSession::clear},
      {{"/undo"}, "[N]", "forget the last N questions and their replies", &ChatSession::undo},
      {{"/regen"}, "", "answer the last question again", &ChatSession::again},
      {{"/branch"}, "NAME", "go on in a copy of the conversation", &ChatSession::branch},
      {{"/branches"}, "", "list the copies", &ChatSession::branches},
      {{"/goto"}, "NAME", "go on in another copy", &ChatSession::go_to},
      {{"/save"}, "FILE", "write the conversation, or (NAME.state) the state after it", &ChatSession::save},
      {{"/load"}, "FILE", "go on with what was saved", &ChatSession::load},
      {{"/mix"}, "FILE W FILE W", "begin after a weighted sum of states", &ChatSession::mix},
      {{"/read"}, "FILE", "make a text part of the conversation", &ChatSession::read},
      {{"/set"}, "[NAME VALUE]", "change how replies are written, or show it", &ChatSession::set},
      {{"/think"}, "on|off|a bit|a lot", "how much to think before a reply", &ChatSession::think},
      {{"/template"},
       "[NAME]",
       "show or choose the spelling of conversations",
       &ChatSession::choose_template},
      {{"/why"}, "", "show how probable each token of the last reply was", &ChatSession::why},
      {{"/stats"}, "", "show how many tokens were read and written", &ChatSession::statistics},
  };
  return all;
}

bool ChatSession::run(const std::string& entry) {
  const auto [word, argument] = divided(entry);
  for (const Command& command : all_commands()) {
    if (std::find(command.names.begin(), command.names.end(), word) == command.names.end()) continue;
    require(argument.empty() || !command.argument.empty(), "{} takes nothing after it, got {}", word,
            in_quotes(argument));
    if (command.run == nullptr) return false;
    (this->*command.run)(argument);
    return true;
  }
  fail("there is no command {}; /help lists them, and //{} sends the text", in_quotes(word), word.substr(1));
}

std::vector<std::pair<std::string, std::string>> ChatSession::commands() {
  std::vector<std::pair<std::string, std::string>> list;
  for (const Command& command : all_commands()) {
    std::string names;
    for (const std::string_view name : command.names)
      names += (names.empty() ? "" : ", ") + std::string(name);
    list.emplace_back(names + (command.argument.empty() ? "" : " ") + std::string(command.argument),
                      command.help);
  }
  return list;
}

void ChatSession::help(const std::string&) {
  for (const auto& [name, text] : commands()) screen_.tell(fmt::format("  {:<26} {}", name, text));
  screen_.tell(
      "A message that begins with \"\"\" ends with the next \"\"\". Ctrl-R searches what was entered, Ctrl-G "
      "opens "
      "$EDITOR, Ctrl-C stops a reply, Ctrl-D leaves.");
}

}  // namespace aviary
