// aviary compare: trains several versions on the same text.
#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "base/platform.h"
#include "cli/cli.h"
#include "cli/outputs.h"
#include "cli/settings.h"
#include "compare/comparison.h"
#include "models/registry.h"
#include "train/run_folder.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

struct CompareFlags {
  std::string text, versions, out, tokenizer;
  Asked asked;  // the settings of all members
  bool own_recipes = false;
};

constexpr double decline = 30;                     // of a given learning rate, to the end
constexpr int64_t most_validation_bytes = 50'000;  // it is read many times
constexpr int64_t largest_vocabulary_file = 64 << 20;

std::string every_version() {
  std::vector<std::string> names;
  for (const ModelVersion* version : model_versions()) names.emplace_back(version->name);
  return fmt::format("{}", fmt::join(names, ","));
}

// The settings shared by all members.
TrainConfig configure(const CompareFlags& flags, const TextFile& file) {
  require(!flags.own_recipes || !(flags.asked.has("learning_rate") || flags.asked.has("final_learning_rate")),
          "--own-recipes takes the learning rates of the versions, so --learning-rate and "
          "--final-learning-rate cannot be given with it");
  TrainConfig config = resolve(flags.asked, {.text = text_facts(file)});
  if (flags.asked.has("learning_rate") && !flags.asked.has("final_learning_rate"))
    config.schedule.end = config.schedule.start / decline;
  if (!flags.asked.has("validation_bytes"))
    config.validation_bytes = std::min(std::ssize(file.text()) / 10, most_validation_bytes);
  config.sample_every = 0;
  config.schedule.fit_warmup = false;  // each member's is fitted when the steps of all are known
  if (!flags.tokenizer.empty()) config.tokenizer = flags.tokenizer;
  require(!flags.asked.has("vocabulary") || flags.tokenizer.empty(),
          "--vocabulary is for a vocabulary that is learned from the text, but --tokenizer names one; leave "
          "one of them out");
  if (config.tokenizer == "bytes" || (flags.tokenizer.empty() && config.model.vocab_size <= 256)) {
    config.tokenizer = "bytes";
    config.model.vocab_size = 256;
  }
  return config;
}

constexpr const char* vocabulary_file = "vocabulary.txt";

// One tokenizer for all members: the one stored in the folder, or a new one. Null if Ctrl-C stopped learning
// it.
TokenizerPtr tokenizer_of_comparison(const CompareFlags& flags, const TrainConfig& config,
                                     std::string_view text, const fs::path& folder) {
  if (config.tokenizer == "bytes") return make_bytes_tokenizer();
  if (!flags.tokenizer.empty()) return open_tokenizer(flags.tokenizer);
  const fs::path path = folder / vocabulary_file;
  if (fs::exists(path)) return make_world_tokenizer(read_file(path, largest_vocabulary_file));
  fmt::print("Learning a vocabulary of {} tokens from the text\n", with_commas(config.model.vocab_size));
  std::fflush(stdout);
  const std::string vocabulary = learn_vocabulary(text, static_cast<int32_t>(config.model.vocab_size));
  return vocabulary.empty() ? nullptr : make_world_tokenizer(vocabulary);
}

int stopped(const fs::path& folder) {
  fmt::print("\nStopped; everything is kept in {}. The same command goes on with it.\n", folder.string());
  return interrupt_exit_code();
}

int compare_versions(const CompareFlags& flags) {
  platform::ignore_broken_pipes();  // as in aviary train
  ComparisonOptions options;
  options.members = parse_members(flags.versions.empty() ? every_version() : flags.versions);
  options.own_recipes = flags.own_recipes;
  options.warmup_given = flags.asked.has("warmup");
  const TextFile file = open_text_to_learn(flags.text);
  options.shared = configure(flags, file);
  for (const Member& member : options.members) member_config(options, member, 0);  // rejects invalid settings
  const fs::path usual = fs::path("runs") / ("compare-" + usual_name(file));
  options.folder = flags.out.empty() ? usual : fs::path(flags.out);
  require_apart(files_of_comparison(options.folder), {flags.text, flags.tokenizer});
  if (flags.tokenizer.empty()) require_apart(options.folder / vocabulary_file, {flags.text});
  options.shared.text = place_of_text(file, options.folder);
  const std::string asked = asked_of(options.shared, flags.own_recipes);
  open_comparison(options.folder, asked);  // the same

  const SplitText split = split_text(file.text(), options.shared.validation_bytes);
  const TokenizerPtr tokenizer = tokenizer_of_comparison(flags, options.shared, split.train, options.folder);
  if (!tokenizer) {
    fmt::print("Stopped before the first step; nothing is kept.\n");
    return interrupt_exit_code();
  }
  options.shared.tokenizer = tokenizer->kind();
  options.shared.model.vocab_size = tokenizer->vocab_size();
  const Corpus corpus(split, *tokenizer);
  check_corpus(corpus, options.shared);

  // Nothing is written before this.
  make_folders(options.folder);
  const RunFolder held = RunFolder::hold(options.folder);
  Ledger ledger = open_comparison(options.folder, asked);
  keep_text(file, options.shared.text);
  write_ledger(options.folder, ledger);
  if (options.shared.tokenizer == "world" && flags.tokenizer.empty())
    write_file_atomically(options.folder / vocabulary_file, tokenizer->serialize());
  switch (run_comparison(options, std::move(ledger), tokenizer, corpus)) {
    case ComparisonEnd::interrupted:
      return stopped(options.folder);
    case ComparisonEnd::some_failed:
      fmt::print("\nNot all could be trained; {}/compare.html shows the others.\n", options.folder.string());
      return 1;
    case ComparisonEnd::finished:
      fmt::print("\nDone: {0}/compare.html is the page, {0}/*.csv are its numbers.\n",
                 options.folder.string());
  }
  return 0;
}

Action add_compare(CLI::App& command) {
  auto flags = std::make_shared<CompareFlags>();
  command.add_option("text", flags->text, "The text to learn from, in UTF-8; -: the standard input")
      ->required();
  command.add_option("--versions", flags->versions,
                     "Names between commas, each with options of its own: rwkv4,rwkv4+head_qk=64,rwkv7 "
                     "(default: all; aviary inspect --versions)");
  command.add_option("--out", flags->out,
                     "Folder of the comparison (default: runs/compare-<name of the text>)");
  add_settings(command, setting_flags::compare, flags->asked);
  command
      .add_option("--tokenizer", flags->tokenizer,
                  fmt::format("{} (default: learned from the text)", tokenizer_kinds))
      ->group("Model");
  command
      .add_flag(
          "--own-recipes", flags->own_recipes,
          "Each version's own learning rates; betas, epsilon, clipping and whether matrices decay always are")
      ->group("Learning");
  return [flags] { return compare_versions(*flags); };
}

const Registration compare_command({"compare", CommandGroup::study, 1,
                                    "Train versions on the same text, and write a page about them",
                                    add_compare});

}  // namespace
}  // namespace aviary::cli
