#include "cli/bank.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "bank/state_bank.h"
#include "base/error.h"
#include "base/human.h"
#include "base/quotes.h"
#include "cli/snapshots.h"
#include "cli/texts.h"
#include "embed/embedder.h"
#include "infer/generate.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t usual_candidates = 16;

struct BankFlags {
  ModelFlags model;
  PromptFlags prompt;
  BeginFlags begin;
  Escapes escapes;
  std::string bank, name, by = "likelihood";
  std::vector<std::string> texts, names;
  int64_t candidates = usual_candidates, top = 5;
};

// A vector of length 1.
std::vector<float> embedding_of(const LoadedModel& loaded, const std::string& text) {
  EmbeddingOptions options = usual_embedding(*loaded.model);
  options.begin_token = loaded.begin_token;
  Embedder embedder(*loaded.model, require_tokenizer(loaded), options);
  return embedder.embed(std::span(&text, 1)).front();
}

int add(const BankFlags& flags) {
  require(flags.name.empty() || flags.texts.size() == 1, "--name is for one text, got {}",
          flags.texts.size());
  const LoadedModel loaded = flags.model.load();
  StateBank bank(flags.bank, StateBank::Access::change);
  const SnapshotMaker maker = maker_of(loaded);
  bank.require_made_by(maker);
  Runner runner(*loaded.model);
  const std::optional<State> start = flags.begin.start(loaded, flags.model.force);
  const std::vector<int32_t> before = tokens_before(flags.begin.state);
  for (const std::string& path : flags.texts) {
    const TextFile file = open_text(path, flags.model.quiet);
    const std::string name = flags.name.empty() ? fs::path(path).stem().string() : flags.name;
    const std::vector<int32_t> tokens = flags.begin.encode(loaded, file.text());
    require(!tokens.empty(), "{}: the text is empty", path);
    StoredSnapshot stored{.tokens = before, .maker = maker, .name = name};
    stored.snapshot.state = start ? *start : runner.new_state();
    stored.snapshot.logits = read_tokens(runner, tokens, stored.snapshot.state);
    stored.tokens.insert(stored.tokens.end(), tokens.begin(), tokens.end());
    bank.add(name, file.text(), stored, embedding_of(loaded, std::string(file.text())));
    fmt::print("{}: the state after {} tokens is in {}\n", printable(name),
               with_commas(std::ssize(stored.tokens)), flags.bank);
  }
  return 0;
}

int list(const BankFlags& flags) {
  const std::vector<BankEntry> all = StateBank(flags.bank, StateBank::Access::read).entries();
  if (all.empty()) fmt::print("{} has no states\n", flags.bank);
  for (const BankEntry& entry : all)
    fmt::print("{:<20} {:>9} tokens {:>10}  {}\n", printable(entry.name), with_commas(entry.tokens),
               human_bytes(entry.bytes), printable(entry.beginning));
  return 0;
}

int remove(const BankFlags& flags) {
  StateBank bank(flags.bank, StateBank::Access::change);
  for (const std::string& name : flags.names) bank.remove(name);
  return 0;
}

struct Found {
  BankEntry entry;
  double cosine = 0, log_likelihood = 0;
};

// The entries that fit the text, the best first. `candidates`: those with the largest cosine are compared by
// likelihood; 0: the cosine alone decides.
std::vector<Found> find_in_bank(const LoadedModel& loaded, const std::string& folder, const std::string& text,
                                int64_t candidates) {
  const StateBank bank(folder, StateBank::Access::read);
  const SnapshotMaker maker = maker_of(loaded);
  bank.require_made_by(maker);
  std::vector<BankEntry> entries = bank.entries();
  require(!entries.empty(), "{}: the bank has no states", folder);
  const std::vector<double> cosines = similarities(entries, embedding_of(loaded, text));
  std::vector<Found> found;
  for (size_t i = 0; i < entries.size(); ++i) found.push_back({std::move(entries[i]), cosines[i]});
  std::stable_sort(found.begin(), found.end(),
                   [](const Found& a, const Found& b) { return a.cosine > b.cosine; });
  if (candidates == 0) return found;
  found.resize(std::min(found.size(), static_cast<size_t>(candidates)));
  Runner runner(*loaded.model);
  const auto layout = std::make_shared<const StateLayout>(runner.new_state().layout());
  std::vector<StoredSnapshot> states;
  for (const Found& one : found)
    states.push_back(read_snapshot(open_snapshot(one.entry.file), one.entry.file.string(), layout, maker));
  const std::vector<double> likelihoods =
      log_likelihoods(runner, states, require_tokenizer(loaded).encode(text));
  for (size_t i = 0; i < found.size(); ++i) found[i].log_likelihood = likelihoods[i];
  std::stable_sort(found.begin(), found.end(),
                   [](const Found& a, const Found& b) { return a.log_likelihood > b.log_likelihood; });
  return found;
}

int find(const BankFlags& flags) {
  const std::string text = flags.prompt.read(flags.escapes, flags.model.quiet);
  require(!text.empty(), "name the question with --prompt or --file");
  const LoadedModel loaded = flags.model.load();
  const std::vector<Found> found =
      find_in_bank(loaded, flags.bank, text, flags.by == "embedding" ? 0 : flags.candidates);
  if (flags.model.quiet) {
    fmt::print("{}\n", found.front().entry.file.string());
    return 0;
  }
  for (size_t i = 0; i < std::min(found.size(), static_cast<size_t>(flags.top)); ++i) {
    const Found& one = found[i];
    fmt::print("{:<20} {}cosine {:.3f}   {}\n", printable(one.entry.name),
               flags.by == "embedding" ? "" : fmt::format("{:.3f} nats per token   ", -one.log_likelihood),
               one.cosine, one.entry.file.string());
  }
  return 0;
}

void add_place(CLI::App& command, BankFlags& flags) {
  command.add_option("bank", flags.bank, "The folder of the bank")->required();
}

void add_model(CLI::App& command, BankFlags& flags) {
  command.add_option("model", flags.model.path, "The model: a file or the folder of a run")->required();
}

void add_add(CLI::App& command, BankFlags& flags) {
  add_model(command, flags);
  add_place(command, flags);
  command.add_option("texts", flags.texts, "Text files; each becomes one state, named after its file")
      ->required();
  command.add_option("--name", flags.name, "The name of the one text (default: that of its file)");
  flags.model.add_running_to(command);
  flags.begin.add_to(command);
}

void add_find(CLI::App& command, BankFlags& flags) {
  add_model(command, flags);
  add_place(command, flags);
  flags.prompt.add_to(command, "The question");
  command
      .add_option("--by", flags.by,
                  "likelihood: of the question after each text; embedding: the cosine of their vectors")
      ->check(CLI::IsMember({"likelihood", "embedding"}))
      ->capture_default_str();
  command
      .add_option("--candidates", flags.candidates,
                  "Compare the likelihoods of so many states, those with the largest cosine")
      ->check(bounds(1))
      ->capture_default_str();
  command.add_option("--top", flags.top, "Show so many states")->check(bounds(1))->capture_default_str();
  command.add_flag("--quiet,-q", flags.model.quiet, "Print only the file of the best state");
  flags.escapes.add_to(command, "--prompt")->needs("--prompt");
  flags.model.add_running_to(command);
}

}  // namespace

Action add_bank(CLI::App& bank) {
  auto adding = std::make_shared<BankFlags>(), finding = std::make_shared<BankFlags>(),
       other = std::make_shared<BankFlags>();
  bank.require_subcommand(1);
  CLI::App* add_texts = bank.add_subcommand("add", "Read texts, and keep the state after each");
  add_add(*add_texts, *adding);
  CLI::App* find_state = bank.add_subcommand("find", "The states that fit a question, the best first");
  add_find(*find_state, *finding);
  CLI::App* list_all = bank.add_subcommand("list", "What is in a bank");
  add_place(*list_all, *other);
  CLI::App* remove_some = bank.add_subcommand("remove", "Remove states");
  add_place(*remove_some, *other);
  remove_some->add_option("names", other->names, "Names of states")->required();
  return [=] {
    if (add_texts->parsed()) return add(*adding);
    if (find_state->parsed()) {
      refuse_beside(*find_state, "--quiet", {"--top"});
      if (finding->by == "embedding") refuse_beside(*find_state, "--by", {"--candidates"});
      return find(*finding);
    }
    return list_all->parsed() ? list(*other) : remove(*other);
  };
}

std::string best_in_bank(const LoadedModel& loaded, const std::string& folder, std::string_view text,
                         bool quiet) {
  require(!text.empty(), "--state {}: is a bank of states; its state is chosen by the prompt, which is empty",
          folder);
  const Found best = find_in_bank(loaded, folder, std::string(text), usual_candidates).front();
  if (!quiet)
    fmt::print(stderr, "[{}: the state {}, {:.3f} nats per token of the prompt]\n", folder,
               printable(best.entry.name), -best.log_likelihood);
  return best.entry.file.string();
}

}  // namespace aviary::cli
