// aviary chat: a conversation with a model in the terminal.
#include <fmt/format.h>

#include <cstdlib>
#include <limits>
#include <random>

#include "bank/state_bank.h"
#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "base/platform.h"
#include "base/quotes.h"
#include "chat/chat_template.h"
#include "chat/clean.h"
#include "cli/bank.h"
#include "cli/cli.h"
#include "cli/snapshots.h"
#include "cli/texts.h"
#include "serve/local_service.h"
#include "terminal/chat_session.h"
#include "terminal/entry_reader.h"

namespace aviary::cli {
namespace {

constexpr int64_t largest_message = int64_t{64} << 20;  // bytes, of the editor's file

struct ChatFlags {
  ModelFlags model;
  PromptFlags prompt;
  Escapes escapes;
  std::string url, name, key, state, think = "usual", load;
  ChatSettings settings;

  // Whether --state is one that was kept after a text, not a tuned one.
  bool kept_state() const { return find_snapshot(state).has_value(); }
};

// Where --state is a bank, its place is taken by the state after which `question` is most probable.
void choose_from_bank(ChatFlags& flags, const std::string& question) {
  require(
      flags.url.empty() || flags.state.empty() || flags.kept_state(),
      "--state {}: expected one that was kept after a text (aviary state make), because a server takes no "
      "other",
      flags.state);
  if (!StateBank::is_bank(flags.state)) return;
  require(
      !question.empty(),
      "--state {}: is a bank of states, from which one is chosen by the message of --prompt or of a pipe; "
      "aviary state bank find names a file for a conversation",
      flags.state);
  flags.state = best_in_bank(flags.model.load(), flags.state, question, flags.model.quiet);
}

// The program that $VISUAL or $EDITOR names changes a text.
std::string edited(const std::string& text) {
  namespace fs = std::filesystem;
  std::string editor = platform::environment_variable("VISUAL");
  if (editor.empty()) editor = platform::environment_variable("EDITOR");
  if (editor.empty()) editor = "editor";
  const fs::path folder = fs::temp_directory_path() / fmt::format("aviary-{:08x}", std::random_device{}());
  std::error_code error;
  if (!fs::create_directory(folder, error)) return text;
  fs::permissions(folder, fs::perms::owner_all, error);
  const fs::path file = folder / "message.txt";
  std::string result = text;
  try {
    write_file_atomically(file, text);
    std::string quoted = file.string();
    for (size_t at = 0; (at = quoted.find('\'', at)) != std::string::npos; at += 4)
      quoted.replace(at, 1, "'\\''");
    if (std::system(fmt::format("{} '{}'", editor, quoted).c_str()) == 0)
      result = std::string(trimmed(read_file(file, largest_message)));
  } catch (const Error& failure) {
    fmt::print(stderr, "{}\n", failure.what());
  }
  fs::remove_all(folder, error);
  return result;
}

// The model of this process, and the service that owns it.
class LocalModel {
 public:
  explicit LocalModel(const ChatFlags& flags) : service_(options(flags)) {
    load_model(service_, name);
    source_ = make_local_source(service_, name);
  }
  ReplySource& source() { return *source_; }
  ModelInfo info() const { return service_.model(name); }

 private:
  static constexpr const char* name = "model";

  static ServiceOptions options(const ChatFlags& flags) {
    ServedModel served{.name = name};
    served.host.file = find_model(flags.model.path);
    served.host.open = [model = flags.model, file = served.host.file] {
      Checkpoint checkpoint = model.open(file);
      if (!model.quiet) print_notes(checkpoint.notes);
      return checkpoint;
    };
    if (!flags.kept_state()) served.host.state = flags.state;
    served.host.any_base = flags.model.force;
    served.host.chat_template =
        flags.settings.chat_template.empty()
            ? chat_template_of_tuning(flags.model.adapters, served.host.state.string())
            : flags.settings.chat_template;
    ServiceOptions options;
    options.models.push_back(std::move(served));
    return options;
  }

  LocalService service_;
  std::unique_ptr<ReplySource> source_;
};

void write_out(std::string_view bytes) {
  fmt::print("{}", bytes);
  flush_output();
}

MarkdownStyle style_of_terminal() {
  const int columns = platform::terminal_width(stdout);
  const bool dumb = platform::environment_variable("TERM") == "dumb";
  const bool styled = columns > 0 && !dumb && platform::environment_variable("NO_COLOR").empty();
  return {.columns = columns, .styled = styled, .escaped = columns > 0};
}

// One message, whose reply goes to stdout as the model writes it.
int answer_once(ReplySource& source, const ChatFlags& flags, const std::string& message) {
  require(!trimmed(message).empty(), "there is no message: the text is only white space");
  InterruptGuard guard;
  MarkdownStyle style = style_of_terminal();
  ChatSession session(source, flags.settings,
                      {.write = write_out,
                       .tell =
                           [&](std::string_view line) {
                             if (!flags.model.quiet) fmt::print(stderr, "{}\n", line);
                           },
                       .stopped = [&] { return guard.interrupted(); },
                       .style = style});
  if (flags.kept_state()) session.begin_from(flags.state);
  session.ask(message);
  return guard.interrupted() ? interrupt_exit_code() : 0;
}

int converse(ReplySource& source, const ChatFlags& flags) {
  const MarkdownStyle style = style_of_terminal();
  const InterruptGuard* guard = nullptr;  // of the reply that is being written
  ChatSession session(source, flags.settings,
                      {.write = write_out,
                       .tell = [](std::string_view line) { write_out(fmt::format("{}\n", line)); },
                       .stopped = [&] { return guard != nullptr && guard->interrupted(); },
                       .style = style});
  if (flags.kept_state()) session.begin_from(flags.state);
  if (!flags.load.empty()) session.handle("/load " + flags.load);
  const bool editing =
      platform::terminal_width(stdout) > 0 && platform::environment_variable("TERM") != "dumb";
  bool ending = false;
  EntryReader reader({.editing = editing,
                      .columns = [] { return platform::terminal_width(stdout); },
                      .write = write_out,
                      .edit = edited,
                      .ended = [&] { return guard != nullptr && guard->interrupted(); }});
  while (!ending) {
    std::optional<std::string> entry;
    {
      // SIGTERM and a closed terminal end the reading, and the terminal is as before.
      const InterruptGuard reading;
      guard = editing ? &reading : nullptr;
      entry = reader.read();
      guard = nullptr;
      if (editing && reading.interrupted()) return interrupt_exit_code();
    }
    if (!entry) break;
    const InterruptGuard replying;
    guard = &replying;
    ending = !session.handle(*entry);
    guard = nullptr;
    if (replying.interrupted() && interrupt_exit_code() != 130) return interrupt_exit_code();
  }
  return 0;
}

int chat(ChatFlags flags) {
  flags.settings.thinking = *thinking_named(flags.think);
  require(flags.load.empty() || !flags.kept_state(),
          "--load and --state {} cannot be given together: both are what the conversation begins with",
          flags.state);
  const bool piped = flags.prompt.text.empty() && flags.prompt.file.empty() && !platform::input_is_terminal();
  require(!piped || flags.load.empty(),
          "--load goes on with a conversation in a terminal, but the standard input is not one");
  if (piped) flags.prompt.text = "-";
  const std::string message = flags.prompt.read(flags.escapes, flags.model.quiet);
  choose_from_bank(flags, message);
  std::optional<LocalModel> local;
  std::unique_ptr<ReplySource> remote;
  if (flags.url.empty())
    local.emplace(flags);
  else
    remote = make_remote_source(flags.url, flags.name, flags.key);
  ReplySource& source = local ? local->source() : *remote;
  if (!message.empty()) return answer_once(source, flags, message);
  if (!flags.model.quiet && local) {
    const ModelInfo info = local->info();
    fmt::print(stderr, "[{} with {} parameters, template {}; /help lists the commands]\n", info.version,
               with_commas(info.parameters), info.chat_template);
  } else if (!flags.model.quiet) {
    fmt::print(stderr, "[{} at {}; /help lists the commands]\n", printable(source.model()),
               printable(flags.url));
  }
  return converse(source, flags);
}

void add_replies(CLI::App& command, ChatFlags& flags) {
  ReplySettings& reply = flags.settings.reply;
  const std::string group = "Replies";
  command
      .add_option("--temperature", reply.temperature,
                  "Below 1 likelier tokens; 0: the most probable (default: 1)")
      ->check(number_bounds(0, 100, "0 to 100"));
  command.add_option("--tokens,-n", reply.max_tokens, "Most tokens of a reply (default: 4096)")
      ->check(bounds(1));
  command.add_option("--seed", reply.seed, "Same seed, same replies (default: another one each time)");
  command
      .add_option("--top-p", reply.top_p, "Only the most probable tokens whose sum reaches P (default: 0.85)")
      ->check(number_bounds(std::numeric_limits<double>::min(), 1, "above 0, to 1"))
      ->group(group);
  command.add_option("--top-k", reply.top_k, "Only the K most probable tokens (default: all)")
      ->check(bounds(0))
      ->group(group);
  command
      .add_option("--presence-penalty", reply.presence_penalty,
                  "Against tokens that were written before (default: 0)")
      ->check(number_bounds(-100, 100, "-100 to 100"))
      ->group(group);
  command
      .add_option("--frequency-penalty", reply.frequency_penalty,
                  "Against tokens that were written often (default: 0)")
      ->check(number_bounds(-100, 100, "-100 to 100"))
      ->group(group);
}

Action add_chat(CLI::App& command) {
  auto flags = std::make_shared<ChatFlags>();
  flags->model.add_to(command);
  flags->prompt.add_to(command, "Answer this message and end");
  flags->escapes.add_to(command, "--prompt")->needs("--prompt");
  command.add_option("--system", flags->settings.system,
                     "What the model is told before the conversation (default: nothing)");
  command
      .add_option("--think", flags->think, "none, brief, usual or thorough: how much to think before a reply")
      ->check(CLI::IsMember({"none", "brief", "usual", "thorough"}))
      ->capture_default_str();
  add_replies(command, *flags);
  command.add_flag("--quiet,-q", flags->model.quiet, "Print only the replies");
  const std::string group = "Conversation";
  command
      .add_option("--chat-template", flags->settings.chat_template,
                  fmt::format("How conversations are written: {} (default: found from the model)",
                              fmt::join(chat_template_names(), ", ")))
      ->check(CLI::IsMember(chat_template_names()))
      ->group(group);
  command
      .add_option("--state", flags->state,
                  "What the conversation begins with: a tuned state, one that was kept after a text (aviary "
                  "state make), or a bank of these, with --prompt or a pipe (default: the model's own)")
      ->group(group);
  command
      .add_option("--load", flags->load, "Go on with a conversation that /save wrote (default: a new one)")
      ->group(group);
  const std::string server = "Server";
  command
      .add_option(
          "--url", flags->url,
          "Talk to a server with OpenAI's protocol, http://HOST:PORT (default: the model of this command)")
      ->group(server);
  command
      .add_option("--name", flags->name, "The model's name there (default: the first that the server lists)")
      ->needs("--url")
      ->group(server);
  command.add_option("--key", flags->key, "The server's API key (default: none)")
      ->needs("--url")
      ->group(server);
  return [flags, &command] {
    for (const char* message : {"--prompt", "--file"}) refuse_beside(command, message, {"--load"});
    if (!flags->url.empty()) {
      ModelFlags::refuse_beside(command, "--url");
      refuse_beside(command, "--url", {"--chat-template", "--precision"});
    }
    return chat(*flags);
  };
}

const Registration chat_command({"chat", CommandGroup::first, 6, "Talk with a model", add_chat});

}  // namespace
}  // namespace aviary::cli
