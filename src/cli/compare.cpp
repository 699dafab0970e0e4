// aviary compare: members of the family on the same text.
#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/platform.h"
#include "cli/cli.h"
#include "compare/comparison.h"
#include "models/registry.h"
#include "text/utf8.h"
#include "train/plan.h"
#include "train/run_folder.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

struct Flags {
  std::string text, versions, out, tokenizer, schedule, precision;
  std::optional<int64_t> steps, layers, width, vocabulary, context, batch, warmup, validate_every;
  std::optional<double> minutes, learning_rate, final_learning_rate;
  int64_t validation_bytes = -1;
  uint64_t seed = 1;
  bool own_recipes = false;
};

constexpr double minutes_by_default = 10;
constexpr int64_t most_validation_bytes = 50'000;  // it is read many times
constexpr int64_t largest_vocabulary_file = 64 << 20;

template <typename T>
void override_with(const std::optional<T>& flag, T& value) {
  if (flag) value = *flag;
}

std::string every_version() {
  std::vector<std::string> names;
  for (const ModelVersion* version : model_versions()) names.emplace_back(version->name);
  return fmt::format("{}", fmt::join(names, ","));
}

// What all members share.
TrainConfig configure(const Flags& flags, const TextFile& file) {
  const int64_t bytes = std::ssize(file.text());
  TrainConfig config = plan_training(bytes, "rwkv7", "");
  override_with(flags.layers, config.model.n_layer);
  override_with(flags.width, config.model.n_embd);
  override_with(flags.vocabulary, config.model.vocab_size);
  override_with(flags.context, config.context);
  override_with(flags.batch, config.batch);
  override_with(flags.warmup, config.schedule.warmup);
  override_with(flags.steps, config.schedule.steps);
  override_with(flags.learning_rate, config.schedule.start);
  if (flags.learning_rate) config.schedule.end = *flags.learning_rate / 30;
  override_with(flags.final_learning_rate, config.schedule.end);
  override_with(flags.validate_every, config.validate_every);
  if (!flags.schedule.empty()) config.schedule.kind = schedule_kind(flags.schedule);
  if (!flags.precision.empty()) config.precision = parse_precision(flags.precision);
  require(!flags.minutes || *flags.minutes > 0, "--minutes is {}, expected more than 0",
          flags.minutes.value_or(0));
  config.minutes = flags.steps ? 0 : flags.minutes.value_or(minutes_by_default);
  config.validation_bytes =
      flags.validation_bytes >= 0 ? flags.validation_bytes : std::min(bytes / 10, most_validation_bytes);
  config.seed = flags.seed;
  config.sample_every = 0;
  config.text = fs::absolute(flags.text).lexically_normal().string();
  config.text_hash = hash_of(file.text());
  require(is_utf8(config.text), "{}: the name is no UTF-8; rename the file or folder", flags.text);
  if (!flags.tokenizer.empty()) config.tokenizer = flags.tokenizer;
  if (config.tokenizer == "bytes" || (flags.tokenizer.empty() && config.model.vocab_size <= 256)) {
    config.tokenizer = "bytes";
    config.model.vocab_size = 256;
  }
  check(config);
  return config;
}

constexpr const char* vocabulary_file = "vocabulary.txt";

// One tokenizer for all members; the one that the folder keeps, or a new one. Null when Ctrl-C stopped the
// learning.
TokenizerPtr tokenizer_for(const Flags& flags, const TrainConfig& config, std::string_view text,
                           const fs::path& folder) {
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
  return 130;
}

int compare(const Flags& flags) {
  platform::ignore_broken_pipes();  // as aviary train
  ComparisonOptions options;
  options.members = parse_members(flags.versions.empty() ? every_version() : flags.versions);
  options.own_recipes = flags.own_recipes;
  const TextFile file(flags.text);
  options.shared = configure(flags, file);
  for (const Member& member : options.members) member_config(options, member, 0);  // refuses what cannot be
  const fs::path usual = fs::path("runs") / ("compare-" + fs::path(flags.text).stem().string());
  options.folder = flags.out.empty() ? usual : fs::path(flags.out);
  const std::string asked = asked_of(options.shared, flags.own_recipes);
  open_comparison(options.folder, asked);  // the same

  const SplitText split = split_text(file.text(), options.shared.validation_bytes);
  const TokenizerPtr tokenizer = tokenizer_for(flags, options.shared, split.train, options.folder);
  if (!tokenizer) {
    fmt::print("Stopped before the first step; nothing is kept.\n");
    return 130;
  }
  options.shared.tokenizer = tokenizer->kind();
  options.shared.model.vocab_size = tokenizer->vocab_size();
  const Corpus corpus(file.text(), *tokenizer, options.shared.validation_bytes);
  check_corpus(corpus, options.shared);

  // Nothing is written before this.
  make_folders(options.folder);
  const RunFolder held = RunFolder::hold(options.folder);
  Ledger ledger = open_comparison(options.folder, asked);
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
  auto flags = std::make_shared<Flags>();
  command.add_option("text", flags->text, "The text to learn from (UTF-8)")->required();
  command.add_option("--versions", flags->versions,
                     "Names between commas, each with options of its own: rwkv4,rwkv4+head_qk=64,rwkv7 "
                     "(default: all; aviary inspect --versions)");
  command.add_option("--out", flags->out,
                     "Folder of the comparison (default: runs/compare-<name of the text>)");
  auto* minutes =
      command.add_option("--minutes", flags->minutes, "Train all together for about so long (default: 10)");
  command.add_option("--steps", flags->steps, "Train each for so many steps")->excludes(minutes);
  const std::string model = "Model", learning = "Learning";
  command.add_option("--layers", flags->layers)->group(model);
  command.add_option("--width", flags->width)->group(model);
  command.add_option("--vocabulary", flags->vocabulary, "Tokens to learn from the text; 256: bytes")
      ->check(CLI::Range(int64_t{256}, int64_t{65536}))
      ->group(model);
  command
      .add_option("--tokenizer", flags->tokenizer,
                  "bytes, or a file (World vocabulary, tokenizer.json, vocab.json)")
      ->group(model);
  command.add_option("--context", flags->context, "Tokens of a sequence")->group(learning);
  command.add_option("--batch", flags->batch, "Sequences of a step")->group(learning);
  command.add_option("--learning-rate", flags->learning_rate, "Of all members")->group(learning);
  command.add_option("--final-learning-rate", flags->final_learning_rate)->group(learning);
  command.add_option("--schedule", flags->schedule, "constant, linear, cosine, exponential")->group(learning);
  command.add_option("--warmup", flags->warmup, "Steps")->group(learning);
  command
      .add_flag("--own-recipes", flags->own_recipes,
                "Each version's own learning rates; betas, epsilon, weight decay and clipping always are")
      ->group(learning);
  command
      .add_option("--precision", flags->precision,
                  "Of matrix products: f32, bf16 (default: the fastest here)")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->group(learning);
  command.add_option("--seed", flags->seed)->capture_default_str()->group(learning);
  command
      .add_option("--validation-bytes", flags->validation_bytes,
                  "Of the end of the text (default: a tenth, at most 50,000)")
      ->group(learning);
  command.add_option("--validate-every", flags->validate_every, "Steps (default: ten times in a run)")
      ->group(learning);
  return [flags] { return compare(*flags); };
}

const Registration registration({"compare", CommandGroup::study, 1,
                                 "Train versions on the same text, and write a page about them",
                                 add_compare});

}  // namespace
}  // namespace aviary::cli
