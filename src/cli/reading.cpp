// What a command reads: a text or a prompt, and what the model has read before it begins.
#include <fmt/format.h>

#include "bank/state_bank.h"
#include "base/error.h"
#include "base/quotes.h"
#include "checkpoints/state_file.h"
#include "cli/cli.h"
#include "cli/snapshots.h"
#include "cli/texts.h"

namespace aviary::cli {

namespace {

void tell_notes(const TextFile& file) {
  for (const std::string& note : file.report().notes) fmt::print(stderr, "note: {}\n", note);
}

}  // namespace

void tell_rows(const TextFile& file) {
  if (const std::string note = note_on_rows(file.text(), file.name()); !note.empty())
    fmt::print(stderr, "note: {}\n", printable(note));
}

TextFile open_text(const std::string& path, bool quiet) {
  TextFile file(path);
  if (!quiet) tell_notes(file);
  return file;
}

TextFile open_text_to_learn(const std::string& path) {
  TextFile file(path);
  file.require_words();
  tell_notes(file);
  tell_rows(file);
  return file;
}

void PromptFlags::add_to(CLI::App& command, const std::string& help) {
  auto* prompt = command.add_option("--prompt,-p", text, help + "; -: the standard input (default: none)");
  command
      .add_option("--file,-f", file,
                  "Take the text of --prompt from this file, its last line break included; -: the standard "
                  "input (default: none)")
      ->excludes(prompt);
}

std::string PromptFlags::read(const Escapes& escapes, bool quiet) const {
  if (!file.empty()) return std::string(open_text(file, quiet).text());
  return text == "-" ? std::string(open_text(text, quiet).text()) : escapes.read("--prompt", text);
}

void BeginFlags::add_to(CLI::App& command) {
  command
      .add_option(
          "--state", state,
          "Begin from this state: one that was kept after a text (aviary state make), or a tuned one: "
          "of Aviary, the folder of its run, or blocks.N.att.time_state in .pth, .safetensors or "
          ".state (default: the model's own)")
      ->group(model_group);
  command
      .add_flag_function(
          "--begin-token,!--no-begin-token", [this](int64_t count) { begin_token = count > 0; },
          "Read the end-of-text token before the text, or not (default: where the vocabulary is that of the "
          "World models, unless the file says otherwise or --state is given)")
      ->group(model_group);
}

std::optional<int32_t> BeginFlags::token(const LoadedModel& loaded) const {
  if (!begin_token) return state.empty() ? loaded.begin_token : std::nullopt;
  if (!*begin_token) return {};
  const std::optional<int32_t> token = require_tokenizer(loaded).end_of_text();
  require(token.has_value(), "--begin-token: the tokenizer of {} has no end-of-text token",
          loaded.path.string());
  return token;
}

std::vector<int32_t> BeginFlags::pending() const {
  const std::optional<TensorFile> kept = find_snapshot(state);
  return kept ? read_snapshot_info(*kept, state).pending : std::vector<int32_t>();
}

std::vector<float> BeginFlags::logits(const LoadedModel& loaded, bool any_base) const {
  const std::optional<TensorFile> kept = find_snapshot(state);
  if (!kept || !pending().empty()) return {};
  return load_snapshot(*kept, state, loaded, any_base).snapshot.logits;
}

std::vector<int32_t> BeginFlags::encode(const LoadedModel& loaded, std::string_view text) const {
  std::vector<int32_t> tokens = pending();
  for (const int32_t token : tokens)
    require(token >= 0 && token < loaded.model->config().vocab_size,
            "{}: has the token {}, which the model does not have", state, token);
  if (const std::optional<int32_t> begin = token(loaded)) tokens.push_back(*begin);
  require_tokenizer(loaded).encode(text, tokens);
  return tokens;
}

std::optional<State> BeginFlags::start(const LoadedModel& loaded, bool any_base) const {
  if (state.empty()) return {};
  require(!StateBank::is_bank(state),
          "--state {}: is a bank of states; aviary state bank find names one of its files for a question",
          state);
  if (const std::optional<TensorFile> kept = find_snapshot(state))
    return load_snapshot(*kept, state, loaded, any_base).snapshot.state;
  namespace fs = std::filesystem;
  const fs::path of_run = fs::path(state) / "state.safetensors";  // where `state` is the folder of a run
  return load_state(fs::exists(of_run) ? of_run : fs::path(state), *loaded.model, loaded.path, any_base);
}

}  // namespace aviary::cli
