// aviary train: from a text to a model.
#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <chrono>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "cli/cli.h"
#include "text/vocabulary_trainer.h"
#include "train/plan.h"
#include "train/session.h"
#include "train/trainer.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

struct Flags {
  std::string text, resume, out, version = "rwkv7", recipe, tokenizer, schedule, precision;
  std::string preset;
  double minutes = 0;
  // What was given on the command line goes over the plan.
  std::optional<int64_t> steps, layers, width, head_size, vocabulary, context, batch, accumulate, warmup,
      validation_bytes, checkpoint_every, validate_every, sample_every;
  std::optional<double> learning_rate, final_learning_rate, weight_decay, clip, dropout, beta1, beta2;
  std::optional<uint64_t> seed;
  bool carry_state = false, no_l2wrap = false;
  std::string sample_prompt = "The ";
};

std::string hash_of(std::string_view text) { return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size())); }

template <typename T>
void override_with(const std::optional<T>& flag, T& value) {
  if (flag) value = *flag;
}

TrainConfig configure(const Flags& flags, int64_t bytes) {
  TrainConfig config = plan_training(bytes, flags.version, flags.recipe);
  if (flags.preset == "quickstart") config = quickstart_config();
  override_with(flags.layers, config.model.n_layer);
  override_with(flags.width, config.model.n_embd);
  override_with(flags.head_size, config.model.head_size);
  override_with(flags.vocabulary, config.model.vocab_size);
  override_with(flags.context, config.context);
  override_with(flags.batch, config.batch);
  override_with(flags.accumulate, config.accumulate);
  override_with(flags.warmup, config.schedule.warmup);
  override_with(flags.steps, config.schedule.steps);
  override_with(flags.learning_rate, config.schedule.start);
  if (flags.learning_rate && !flags.final_learning_rate) config.schedule.end = *flags.learning_rate / 20;
  override_with(flags.final_learning_rate, config.schedule.end);
  override_with(flags.weight_decay, config.weight_decay);
  override_with(flags.clip, config.clip);
  override_with(flags.dropout, config.dropout);
  override_with(flags.beta1, config.beta1);
  override_with(flags.beta2, config.beta2);
  override_with(flags.validation_bytes, config.validation_bytes);
  override_with(flags.checkpoint_every, config.checkpoint_every);
  override_with(flags.seed, config.seed);
  if (!flags.schedule.empty()) config.schedule.kind = schedule_kind(flags.schedule);
  if (!flags.precision.empty()) config.precision = parse_precision(flags.precision);
  if (flags.carry_state) config.carry_state = true;
  if (flags.no_l2wrap) config.l2wrap = false;
  config.model.ctx_len = config.context;
  config.text = flags.text;
  return config;
}

TokenizerPtr tokenizer_for(const Flags& flags, std::string_view text, const TrainConfig& config) {
  if (flags.tokenizer == "bytes" || (flags.tokenizer.empty() && config.model.vocab_size <= 256))
    return make_bytes_tokenizer();
  if (!flags.tokenizer.empty()) return open_tokenizer(flags.tokenizer);
  fmt::print("Learning a vocabulary of {} tokens from the text\n", with_commas(config.model.vocab_size));
  std::fflush(stdout);
  return make_world_tokenizer(train_vocabulary(text, static_cast<int32_t>(config.model.vocab_size)));
}

void print_plan(const Trainer& trainer, const fs::path& folder) {
  const TrainConfig& config = trainer.config();
  fmt::print("{}: {} layers, width {}, {} tokens ({}), {} parameters\n",
             model_version(config.model.version).title, config.model.n_layer, config.model.n_embd,
             with_commas(config.model.vocab_size), trainer.tokenizer().kind(),
             with_commas(const_cast<Trainer&>(trainer).model().parameters().count()));
  fmt::print("{} bytes to train on are {} tokens; {} bytes at the end are kept for validation\n",
             with_commas(trainer.data().train_bytes), with_commas(static_cast<int64_t>(trainer.data().train.size())),
             with_commas(trainer.data().validation_bytes));
  fmt::print("{} steps of {} x {} tokens, {}; the run is kept in {}\n\n", with_commas(config.schedule.steps),
             config.batch * config.accumulate, config.context,
             config.precision == kernels::Precision::bf16 ? "bf16 products" : "f32", folder.string());
  std::fflush(stdout);
}

// A new folder: the named one, or runs/<name of the text>, with a number when that is taken.
fs::path new_folder(const Flags& flags) {
  if (!flags.out.empty()) {
    require(!fs::exists(fs::path(flags.out) / "config.json"),
            "{}: there is a run already; go on with it (aviary train --resume {}) or name another folder with --out",
            flags.out, flags.out);
    return flags.out;
  }
  const std::string stem = fs::path(flags.text).stem().string();
  fs::path folder = fs::path("runs") / stem;
  for (int number = 2; fs::exists(folder); ++number) folder = fs::path("runs") / fmt::format("{}-{}", stem, number);
  return folder;
}

int finish(Trainer& trainer, SessionOptions options) {
  const std::string folder = options.folder.string();
  const SessionEnd end = run_session(trainer, options);
  if (end == SessionEnd::interrupted) {
    fmt::print("\nStopped after step {} of {}; everything is saved. Go on with:\n  aviary train --resume {}\n",
               with_commas(trainer.steps_done()), with_commas(trainer.config().schedule.steps), folder);
    return 130;
  }
  fmt::print("\nDone: {0}/model.safetensors is the model, {0}/loss.svg its loss. Write with it:\n"
             "  aviary generate {0} --prompt \"{1}\"\n", folder, options.sample_prompt);
  return 0;
}

int resume(const Flags& flags) {
  const fs::path folder = flags.resume;
  TrainConfig config = read_run_config(folder);
  const TextFile file(config.text);
  require(hash_of(file.text()) == config.text_hash,
          "{}: the text has changed since the run began; restore it, or start a new run", config.text);
  const bool begun = fs::exists(folder / "checkpoint.safetensors");
  require(begun, "{}: the run was stopped before its first checkpoint; start it again", folder.string());
  TokenizerPtr tokenizer = read_run_tokenizer(folder);
  Trainer trainer(config, tokenizer, Corpus(file.text(), *tokenizer, config.validation_bytes));
  trainer.load(folder);
  if (flags.steps) {
    trainer.set_steps(*flags.steps);
    write_run_config(folder, trainer.config());
  }
  fmt::print("Going on after step {} of {}\n", with_commas(trainer.steps_done()),
             with_commas(trainer.config().schedule.steps));
  return finish(trainer, {.folder = folder, .sample_prompt = flags.sample_prompt});
}

int train(const Flags& flags) {
  if (!flags.resume.empty()) return resume(flags);
  require(!flags.text.empty(), "train: name a text (aviary train book.txt) or a run to go on with (--resume RUN)");
  const TextFile file(flags.text);
  for (const std::string& note : file.report().notes) fmt::print("note: {}\n", note);
  TrainConfig config = configure(flags, static_cast<int64_t>(file.text().size()));
  check(config);
  const fs::path folder = new_folder(flags);
  make_folders(folder);
  const SplitText split = split_text(file.text(), config.validation_bytes);
  TokenizerPtr tokenizer = tokenizer_for(flags, split.train, config);
  config.tokenizer = tokenizer->kind();
  config.model.vocab_size = tokenizer->vocab_size();
  config.text = fs::absolute(flags.text).lexically_normal().string();
  config.text_hash = hash_of(file.text());
  Corpus corpus(file.text(), *tokenizer, config.validation_bytes);
  // A text shorter than one window: take a shorter one.
  config.context = std::min<int64_t>(config.context, std::max<int64_t>(static_cast<int64_t>(corpus.train.size()) / 2, 1));
  if (!flags.steps && flags.preset.empty())
    config.schedule.steps = plan_steps(static_cast<int64_t>(corpus.train.size()), config);
  config.schedule.warmup = std::min(config.schedule.warmup, config.schedule.steps / 5);
  auto some = [&](int64_t parts) { return std::max<int64_t>(1, config.schedule.steps / parts); };
  config.validate_every = flags.validate_every.value_or(some(20));
  config.sample_every = flags.sample_every.value_or(some(5));
  Trainer trainer(config, tokenizer, std::move(corpus));
  write_run_config(folder, trainer.config());
  print_plan(trainer, folder);
  const bool limited = flags.minutes > 0 || (!flags.steps && flags.preset.empty());
  return finish(trainer, {.folder = folder, .minutes = limited ? (flags.minutes > 0 ? flags.minutes : 10.0) : 0,
                          .sample_prompt = flags.sample_prompt});
}

}  // namespace

Action add_train(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  command.add_option("text", flags->text, "The text to learn from (UTF-8)");
  command.add_option("--resume", flags->resume, "Go on with the run in this folder, bit for bit");
  command.add_option("--out", flags->out, "Folder of the run (default: runs/<name of the text>)");
  auto* minutes = command.add_option("--minutes", flags->minutes, "Train for about so long (default: at most 10)");
  minutes->check(CLI::Range(0.01, 1e6));
  command.add_option("--steps", flags->steps, "Train for so many steps")->excludes(minutes);
  command.add_option("--preset", flags->preset, "Settings of an example: quickstart")
      ->check(CLI::IsMember({"quickstart"}));
  const std::string model = "Model", learning = "Learning", output = "Output";
  command.add_option("--model", flags->version, "rwkv7, rwkv4 (aviary inspect --versions)")
      ->capture_default_str()->group(model);
  command.add_option("--recipe", flags->recipe, "rwkv4: v4neo or v4-original")->group(model);
  command.add_option("--layers", flags->layers)->group(model);
  command.add_option("--width", flags->width)->group(model);
  command.add_option("--head-size", flags->head_size)->group(model);
  command.add_option("--vocabulary", flags->vocabulary, "Tokens to learn from the text; 256: bytes")
      ->check(CLI::Range(int64_t{256}, int64_t{65536}))->group(model);
  command.add_option("--tokenizer", flags->tokenizer, "bytes, or a vocabulary file")->group(model);
  command.add_option("--context", flags->context, "Tokens of a sequence")->group(learning);
  command.add_option("--batch", flags->batch, "Sequences of a step")->group(learning);
  command.add_option("--accumulate", flags->accumulate, "Batches whose gradients make one step")->group(learning);
  command.add_flag("--carry-state", flags->carry_state, "Sequences go on where they stopped, with their state")
      ->group(learning);
  command.add_option("--learning-rate", flags->learning_rate)->group(learning);
  command.add_option("--final-learning-rate", flags->final_learning_rate)->group(learning);
  command.add_option("--schedule", flags->schedule, "constant, linear, cosine, exponential")->group(learning);
  command.add_option("--warmup", flags->warmup, "Steps")->group(learning);
  command.add_option("--weight-decay", flags->weight_decay)->group(learning);
  command.add_option("--clip", flags->clip, "Largest norm of the gradient; 0: none")->group(learning);
  command.add_option("--dropout", flags->dropout)->group(learning);
  command.add_option("--beta1", flags->beta1)->group(learning);
  command.add_option("--beta2", flags->beta2)->group(learning);
  command.add_flag("--no-l2wrap", flags->no_l2wrap, "Without the term that keeps logits small")->group(learning);
  command.add_option("--precision", flags->precision, "Of matrix products: f32, bf16 (default: the fastest here)")
      ->check(CLI::IsMember({"f32", "bf16"}))->group(learning);
  command.add_option("--seed", flags->seed)->group(learning);
  command.add_option("--validation-bytes", flags->validation_bytes, "Of the end of the text (default: a tenth)")
      ->group(output);
  command.add_option("--validate-every", flags->validate_every, "Steps")->group(output);
  command.add_option("--checkpoint-every", flags->checkpoint_every, "Steps, besides once a minute")->group(output);
  command.add_option("--sample-every", flags->sample_every, "Steps; 0: never")->group(output);
  command.add_option("--sample-prompt", flags->sample_prompt)->capture_default_str()->group(output);
  return [flags] { return train(*flags); };
}

}  // namespace aviary::cli
