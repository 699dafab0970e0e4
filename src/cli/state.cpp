// aviary state: states that are kept after a text, in files.
#include <fmt/format.h>

#include <charconv>

#include "base/error.h"
#include "base/human.h"
#include "base/quotes.h"
#include "cli/bank.h"
#include "cli/cli.h"
#include "cli/outputs.h"
#include "cli/snapshots.h"
#include "cli/texts.h"
#include "infer/generate.h"
#include "states/compose.h"
#include "states/mix.h"

namespace aviary::cli {
namespace {

struct StateFlags {
  ModelFlags model;
  PromptFlags prompt;
  BeginFlags begin;
  Escapes escapes;
  std::string out, name, file;
  std::vector<std::string> parts;
  bool mean = false;
};

void tell_written(const std::string& out, const StoredSnapshot& stored) {
  fmt::print("{}: the state of {} after {} tokens, {} bytes\n", out, stored.maker.base.name,
             with_commas(std::ssize(stored.tokens) + std::ssize(stored.pending)),
             with_commas(stored.snapshot.bytes()));
}

int make_state(const StateFlags& flags) {
  std::vector<std::filesystem::path> inputs = flags.model.inputs();
  inputs.insert(inputs.end(), {flags.prompt.file, flags.begin.state});
  require_apart(flags.out, inputs);
  const std::string text = flags.prompt.read(flags.escapes);
  const LoadedModel loaded = flags.model.load();
  Runner runner(*loaded.model);
  const std::vector<int32_t> tokens = flags.begin.encode(loaded, text);
  require(!tokens.empty(), "name the text that the state is to be of, with --prompt or --file");
  StoredSnapshot stored{
      .tokens = tokens_before(flags.begin.state), .maker = maker_of(loaded), .name = flags.name};
  const std::optional<State> start = flags.begin.start(loaded, flags.model.force);
  State& state = stored.snapshot.state;
  state = start ? *start : runner.new_state();
  stored.snapshot.logits = read_tokens(runner, tokens, state);
  stored.tokens.insert(stored.tokens.end(), tokens.begin(), tokens.end());
  write_snapshot(flags.out, stored);
  tell_written(flags.out, stored);
  return 0;
}

int print_state(const StateFlags& flags) {
  const TensorFile file = open_snapshot(flags.file);
  const StoredSnapshot stored = read_snapshot_info(file, flags.file);
  const SnapshotMaker& maker = stored.maker;
  const auto line = [](std::string_view title, const std::string& value) {
    if (!value.empty()) fmt::print("{:<10} {}\n", title, printable(value));
  };
  line("name", stored.name);
  line("model",
       fmt::format("{} ({}, {}, {})", maker.base.name, maker.base.version, maker.base.type, maker.base.hash));
  line("adapters", maker.adapters);
  line("products", maker.precision);
  line("tokens", fmt::format("{} read", with_commas(std::ssize(stored.tokens))) +
                     (stored.pending.empty()
                          ? ""
                          : fmt::format(", {} to be read", with_commas(std::ssize(stored.pending)))));
  line("bytes", with_commas(file.file_bytes()));
  return 0;
}

struct NamedPart {
  std::string path;
  double weight = 1;
};

// "FILE" or "FILE,WEIGHT"
NamedPart part_of(const std::string& text) {
  const size_t comma = text.rfind(',');
  if (comma == std::string::npos) return {text};
  NamedPart part{text.substr(0, comma)};
  const char* end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data() + comma + 1, end, part.weight);
  require(error == std::errc() && last == end,
          "{}: expected FILE or FILE,WEIGHT with a number, as a.state,0.5", in_quotes(text));
  return part;
}

// Reads the states that `flags.parts` names, makes one of them, and writes it.
template <typename Join>
int join_states(const StateFlags& flags, const std::vector<NamedPart>& named, Join join) {
  std::vector<std::filesystem::path> inputs = flags.model.inputs();
  for (const NamedPart& part : named) inputs.emplace_back(part.path);
  require_apart(flags.out, inputs);
  const LoadedModel loaded = flags.model.load();
  std::vector<StoredSnapshot> states;
  for (const NamedPart& part : named)
    states.push_back(load_snapshot(open_snapshot(part.path), part.path, loaded, false));
  StoredSnapshot joined = join(loaded, states);
  joined.name = flags.name;
  write_snapshot(flags.out, joined);
  tell_written(flags.out, joined);
  return 0;
}

int mix_states(const StateFlags& flags) {
  std::vector<NamedPart> named;
  for (const std::string& part : flags.parts) named.push_back(part_of(part));
  return join_states(flags, named, [&](const LoadedModel&, const std::vector<StoredSnapshot>& states) {
    std::vector<MixPart> parts;
    for (size_t i = 0; i < states.size(); ++i) parts.push_back({&states[i], named[i].weight});
    return mixed(parts, flags.mean);
  });
}

int compose_states(const StateFlags& flags) {
  require(flags.parts.size() > 1, "one state: expected two or more, in the order of their texts");
  std::vector<NamedPart> named;
  for (const std::string& part : flags.parts) named.push_back({part});
  return join_states(flags, named, [](const LoadedModel& loaded, const std::vector<StoredSnapshot>& states) {
    Runner runner(*loaded.model);
    StoredSnapshot both = states.front();
    for (size_t i = 1; i < states.size(); ++i) both = composed(runner, runner.new_state(), both, states[i]);
    return both;
  });
}

void add_output(CLI::App& command, StateFlags& flags) {
  command.add_option("--out", flags.out, "The file to write")->required();
  command.add_option("--name", flags.name, "A name, written into the file (default: none)");
}

void add_make(CLI::App& make, StateFlags& flags) {
  flags.model.add_to(make);
  flags.prompt.add_to(make, "The text to read");
  add_output(make, flags);
  flags.escapes.add_to(make, "--prompt")->needs("--prompt");
  flags.begin.add_to(make);
}

void add_mix(CLI::App& mix, StateFlags& flags) {
  mix.add_option("model", flags.model.path, "The model that made the states: a file or the folder of a run")
      ->required();
  mix.add_option("states", flags.parts, "Files of states: FILE or FILE,WEIGHT (weight of others: 1)")
      ->required();
  mix.add_flag("--mean", flags.mean, "Divide the weights by their sum");
  add_output(mix, flags);
  flags.model.add_running_to(mix);
}

void add_compose(CLI::App& compose, StateFlags& flags) {
  compose
      .add_option("model", flags.model.path, "The model that made the states: a file or the folder of a run")
      ->required();
  compose.add_option("states", flags.parts, "Files of states, in the order of their texts")->required();
  add_output(compose, flags);
  flags.model.add_running_to(compose);
}

Action add_state(CLI::App& command) {
  // One of each command: they share names of flags.
  auto making = std::make_shared<StateFlags>(), mixing = std::make_shared<StateFlags>(),
       composing = std::make_shared<StateFlags>(), telling = std::make_shared<StateFlags>();
  command.require_subcommand(1);
  CLI::App* make = command.add_subcommand("make", "Read a text, and keep what the model then knows");
  add_make(*make, *making);
  CLI::App* info = command.add_subcommand("info", "What a file of a state says of itself");
  info->add_option("file", telling->file, "A file that aviary state or aviary serve wrote")->required();
  CLI::App* mix = command.add_subcommand("mix", "The weighted sum of states of several texts");
  add_mix(*mix, *mixing);
  CLI::App* compose = command.add_subcommand(
      "compose", "What is left of the first texts after the last one, each read alone");
  add_compose(*compose, *composing);
  CLI::App* bank =
      command.add_subcommand("bank", "States of many texts, of which the best is chosen for a question");
  const Action use_bank = add_bank(*bank);
  return [=] {
    if (make->parsed()) return make_state(*making);
    if (compose->parsed()) return compose_states(*composing);
    if (bank->parsed()) return use_bank();
    return info->parsed() ? print_state(*telling) : mix_states(*mixing);
  };
}

const Registration state_command({"state", CommandGroup::text, 9, "Keep what a model knows after a text",
                                  add_state});

}  // namespace
}  // namespace aviary::cli
