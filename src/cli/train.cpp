// aviary train: from a text to a model.
#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/platform.h"
#include "cli/cli.h"
#include "models/registry.h"
#include "text/utf8.h"
#include "train/plan.h"
#include "train/run_folder.h"
#include "train/session.h"
#include "train/trainer.h"

namespace aviary::cli {

std::string hash_of(std::string_view text) {
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

namespace {

namespace fs = std::filesystem;

struct Flags {
  std::string text, resume, out, version = "rwkv7", recipe, tokenizer, schedule, precision;
  std::string preset, variant, dropout_at;
  // What was given on the command line goes over the plan.
  std::optional<int64_t> steps, layers, width, head_size, vocabulary, context, batch, accumulate, warmup,
      validation_bytes, checkpoint_every, validate_every, sample_every;
  std::optional<double> minutes, learning_rate, final_learning_rate, weight_decay, clip, dropout, beta1,
      beta2;
  std::optional<uint64_t> seed;
  std::vector<std::string> learning_rate_scales;  // NAME=FACTOR
  Options options;                                // of the version
  bool carry_state = false, no_l2wrap = false;
  std::string sample_prompt = "The ";
};

constexpr int64_t fewest_tokens = 32;       // of a text that is worth a run
constexpr double minutes_by_default = 10;   // at most
constexpr int64_t endless = 1'000'000'000;  // steps, when only the minutes count

template <typename T>
void override_with(const std::optional<T>& flag, T& value) {
  if (flag) value = *flag;
}

// "blocks.0.=0.5"
std::pair<std::string, double> parse_scale(const std::string& text) {
  const size_t equals = text.rfind('=');
  double factor = 0;
  const char *begin = text.data() + equals + 1, *end = text.data() + text.size();
  const bool named = equals != text.npos && equals > 0;
  const auto [last, error] = named ? std::from_chars(begin, end, factor) : std::from_chars_result{};
  require(
      named && error == std::errc() && last == end,
      "--learning-rate-scale {}: expected part of a parameter's name, =, and a factor, as in blocks.0.=0.5",
      text);
  return {text.substr(0, equals), factor};
}

TrainConfig configure(const Flags& flags, int64_t bytes) {
  TrainConfig config = plan_training(bytes, flags.version, flags.recipe);
  if (flags.preset == "quickstart") config = quickstart_config();
  override_with(flags.layers, config.model.n_layer);
  override_with(flags.width, config.model.n_embd);
  override_with(flags.head_size, config.model.head_size);
  override_with(flags.vocabulary, config.model.vocab_size);
  config.model.variant = flags.variant;
  config.model.options = flags.options;
  override_with(flags.context, config.context);
  override_with(flags.batch, config.batch);
  override_with(flags.accumulate, config.accumulate);
  override_with(flags.warmup, config.schedule.warmup);
  override_with(flags.steps, config.schedule.steps);
  override_with(flags.learning_rate, config.schedule.start);
  if (flags.learning_rate && !flags.final_learning_rate) config.schedule.end = *flags.learning_rate / 20;
  override_with(flags.final_learning_rate, config.schedule.end);
  for (const std::string& scale : flags.learning_rate_scales)
    config.learning_rate_scales.insert(parse_scale(scale));
  override_with(flags.weight_decay, config.weight_decay);
  override_with(flags.clip, config.clip);
  override_with(flags.dropout, config.dropout);
  if (!flags.dropout_at.empty()) config.dropout_at = flags.dropout_at;
  override_with(flags.beta1, config.beta1);
  override_with(flags.beta2, config.beta2);
  override_with(flags.validation_bytes, config.validation_bytes);
  override_with(flags.checkpoint_every, config.checkpoint_every);
  override_with(flags.validate_every, config.validate_every);
  override_with(flags.sample_every, config.sample_every);
  override_with(flags.seed, config.seed);
  if (!flags.schedule.empty()) config.schedule.kind = schedule_kind(flags.schedule);
  if (!flags.precision.empty()) config.precision = parse_precision(flags.precision);
  if (flags.carry_state) config.carry_state = true;
  if (flags.no_l2wrap) config.l2wrap = false;
  config.model.ctx_len = config.context;
  require(!flags.minutes || *flags.minutes > 0, "--minutes is {}, expected more than 0",
          flags.minutes.value_or(0));
  if (flags.minutes)
    config.minutes = *flags.minutes;
  else if (!flags.steps && flags.preset.empty())
    config.minutes = minutes_by_default;
  check(config);
  config.model = complete(config.model);
  return config;
}

// Null when Ctrl-C stopped the learning of a vocabulary.
TokenizerPtr tokenizer_for(const Flags& flags, std::string_view text, const TrainConfig& config) {
  if (flags.tokenizer == "bytes" || (flags.tokenizer.empty() && config.model.vocab_size <= 256))
    return make_bytes_tokenizer();
  if (!flags.tokenizer.empty()) return open_tokenizer(flags.tokenizer);
  fmt::print("Learning a vocabulary of {} tokens from the text\n", with_commas(config.model.vocab_size));
  std::fflush(stdout);
  const std::string vocabulary = learn_vocabulary(text, static_cast<int32_t>(config.model.vocab_size));
  return vocabulary.empty() ? nullptr : make_world_tokenizer(vocabulary);
}

void print_plan(const Trainer& trainer, const fs::path& folder) {
  const TrainConfig& config = trainer.config();
  fmt::print("{}: {} layers, width {}, {} tokens ({}), {} parameters\n",
             model_version(config.model.version).title, config.model.n_layer, config.model.n_embd,
             with_commas(config.model.vocab_size), trainer.tokenizer().kind(),
             with_commas(const_cast<Trainer&>(trainer).model().parameters().count()));
  fmt::print("{} bytes to train on are {} tokens; {} bytes at the end are kept for validation\n",
             with_commas(trainer.data().train_bytes),
             with_commas(static_cast<int64_t>(trainer.data().train.size())),
             with_commas(trainer.data().validation_bytes));
  std::string length = with_commas(config.schedule.steps) + " steps";
  if (config.schedule.steps == endless)
    length = fmt::format("{:g} minutes of steps", config.minutes);
  else if (config.minutes > 0)
    length = fmt::format("At most {} and {:g} minutes: steps", length, config.minutes);
  fmt::print("{} of {} x {} tokens, {}; the run is kept in {}\n\n", length, config.batch * config.accumulate,
             config.context, config.precision == kernels::Precision::bf16 ? "bf16 products" : "f32",
             folder.string());
  std::fflush(stdout);
}

// A folder for a new run: the named one, or runs/<name of the text>, with a number when that is taken.
RunFolder new_folder(const Flags& flags) {
  if (!flags.out.empty()) {
    const fs::path folder = flags.out;
    require(can_begin(folder) || !fs::exists(folder / "checkpoint.safetensors"),
            "{0}: there is a run already; go on with it (aviary train --resume {0}) or name another folder "
            "with --out",
            flags.out);
    require(
        can_begin(folder) || (fs::exists(folder) && !fs::is_directory(folder)),
        "{}: there are files of something else that a run would write over (config.json, model.safetensors, "
        "log.jsonl or loss.svg); name another folder with --out",
        flags.out);
    make_folders(folder);
    return RunFolder::hold(folder);
  }
  const std::string stem = fs::path(flags.text).stem().string();
  for (int number = 1;; ++number) {
    const fs::path folder = fs::path("runs") / (number == 1 ? stem : fmt::format("{}-{}", stem, number));
    if (!can_begin(folder)) continue;
    make_folders(folder);
    if (std::optional<RunFolder> held = RunFolder::try_hold(folder)) return std::move(*held);
  }
}

// "20 of 100", or "20" while the minutes have not become a number of steps.
std::string place_of(const Trainer& trainer) {
  const std::string done = with_commas(trainer.steps_done());
  if (trainer.config().minutes > 0) return done;
  return fmt::format("{} of {}", done, with_commas(trainer.config().schedule.steps));
}

int finish(Trainer& trainer, SessionOptions options) {
  const std::string folder = options.folder.string();
  const SessionEnd end = run_session(trainer, options);
  if (end == SessionEnd::interrupted) {
    fmt::print("\nStopped after step {}; everything is saved. Go on with:\n  aviary train --resume {}\n",
               place_of(trainer), folder);
    return 130;
  }
  fmt::print(
      "\nDone: {0}/model.safetensors is the model, {0}/loss.svg its loss. Write with it:\n"
      "  aviary generate {0} --prompt \"{1}\"\n",
      folder, options.sample_prompt);
  return 0;
}

int resume(const Flags& flags) {
  const RunFolder folder = RunFolder::hold(flags.resume);
  TrainConfig config = read_run_config(folder.path());
  require(fs::exists(folder.path() / "checkpoint.safetensors"),
          "{}: the run was stopped before its first checkpoint; start it again as it was started",
          flags.resume);
  if (flags.steps) config.schedule.steps = *flags.steps;
  check(config);
  const TextFile file(config.text);
  require(hash_of(file.text()) == config.text_hash,
          "{}: the text has changed since the run began; restore it, or start a new run", config.text);
  TokenizerPtr tokenizer = read_run_tokenizer(folder.path());
  Trainer trainer(config, tokenizer, Corpus(file.text(), *tokenizer, config.validation_bytes));
  trainer.load(folder.path());
  if (flags.steps) {
    trainer.set_steps(*flags.steps);
    write_run_config(folder.path(), trainer.config());
  }
  fmt::print("Going on after step {}\n", place_of(trainer));
  return finish(trainer, {.folder = folder.path(), .sample_prompt = flags.sample_prompt});
}

int train(const Flags& flags) {
  // Whoever reads the output may go away, as `| tee` does on Ctrl-C; the run must still be saved.
  platform::ignore_broken_pipes();
  if (!flags.resume.empty()) return resume(flags);
  require(!flags.text.empty(),
          "train: name a text (aviary train book.txt) or a run to go on with (--resume RUN)");
  const TextFile file(flags.text);
  for (const std::string& note : file.report().notes) fmt::print("note: {}\n", note);
  TrainConfig config = configure(flags, static_cast<int64_t>(file.text().size()));
  config.text = fs::absolute(flags.text).lexically_normal().string();
  config.text_hash = hash_of(file.text());
  require(is_utf8(config.text),
          "{}: the name is no UTF-8, so the run could not remember it; rename the file or folder",
          flags.text);
  const SplitText split = split_text(file.text(), config.validation_bytes);
  const RunFolder folder = new_folder(flags);
  TokenizerPtr tokenizer = tokenizer_for(flags, split.train, config);
  if (!tokenizer) {
    std::error_code ignored;
    fs::remove(folder.path(), ignored);  // when nothing else is in it
    fmt::print("Stopped before the first step; nothing is kept.\n");
    return 130;
  }
  config.tokenizer = tokenizer->kind();
  config.model.vocab_size = tokenizer->vocab_size();
  Corpus corpus(file.text(), *tokenizer, config.validation_bytes);
  const auto tokens = static_cast<int64_t>(corpus.train.size());
  require(tokens >= fewest_tokens,
          "{}: only {} tokens are there to train on, at least {} are needed; take a longer text", flags.text,
          tokens, fewest_tokens);
  config.context = std::min(config.context, tokens / 2);  // a text shorter than one window
  if (flags.minutes)
    config.schedule.steps = endless;
  else if (config.minutes > 0)
    config.schedule.steps = plan_steps(tokens, config);
  config.schedule.warmup = std::min(config.schedule.warmup, config.schedule.steps / 5);
  Trainer trainer(config, tokenizer, std::move(corpus));
  write_run_config(folder.path(), trainer.config());
  print_plan(trainer, folder.path());
  return finish(trainer, {.folder = folder.path(), .sample_prompt = flags.sample_prompt});
}

void add_option(CLI::App& command, const ModelOption& option, Options& values) {
  const std::string group = "Options of versions (aviary inspect --versions tells which version takes which)";
  const std::string flag = flag_of(option);
  if (option.kind == OptionKind::on_off)
    command
        .add_flag_callback(
            flag, [&] { values.set(option.name, 1); }, option.help)
        ->group(group);
  else if (option.kind == OptionKind::text)
    command
        .add_option_function<std::string>(
            flag, [&](const std::string& text) { values.set(option.name, text); }, option.help)
        ->group(group);
  else
    command
        .add_option_function<int64_t>(
            flag, [&](int64_t number) { values.set(option.name, number); }, option.help)
        ->check(CLI::Range(int64_t{0}, option.most))
        ->group(group);
}

// A run goes on with the settings that it has; a flag that asks for others is a mistake.
void refuse_changes(const CLI::App& command) {
  for (const CLI::Option* option : command.get_options())
    require(
        option->count() == 0 || option->check_name("--resume") || option->check_name("--steps") ||
            option->check_name("--sample-prompt"),
        "train: --resume goes on with the settings of the run, so {} cannot be given with it (--steps can)",
        option->get_name());
}

Action add_train(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  command.add_option("text", flags->text, "The text to learn from (UTF-8)");
  command.add_option("--resume", flags->resume, "Go on with the run in this folder, bit for bit");
  command.add_option("--out", flags->out, "Folder of the run (default: runs/<name of the text>)");
  auto* minutes =
      command.add_option("--minutes", flags->minutes, "Train for about so long (default: at most 10)");
  command.add_option("--steps", flags->steps, "Train for so many steps")->excludes(minutes);
  command.add_option("--preset", flags->preset, "Settings of an example: quickstart")
      ->check(CLI::IsMember({"quickstart"}));
  const std::string model = "Model", learning = "Learning", output = "Output";
  command.add_option("--model", flags->version, "rwkv7, rwkv4 (aviary inspect --versions)")
      ->capture_default_str()
      ->group(model);
  command.add_option("--recipe", flags->recipe, "rwkv4: v4neo or v4-original")->group(model);
  command.add_option("--variant", flags->variant, "A spelling of a version that has several")->group(model);
  command.add_option("--layers", flags->layers)->group(model);
  command.add_option("--width", flags->width)->group(model);
  command.add_option("--head-size", flags->head_size)->group(model);
  command.add_option("--vocabulary", flags->vocabulary, "Tokens to learn from the text; 256: bytes")
      ->check(CLI::Range(int64_t{256}, int64_t{65536}))
      ->group(model);
  command
      .add_option("--tokenizer", flags->tokenizer,
                  "bytes, or a file (World vocabulary, tokenizer.json, vocab.json)")
      ->group(model);
  for (const ModelOption* option : model_options()) add_option(command, *option, flags->options);
  command.add_option("--context", flags->context, "Tokens of a sequence")->group(learning);
  command.add_option("--batch", flags->batch, "Sequences of a step")->group(learning);
  command.add_option("--accumulate", flags->accumulate, "Batches whose gradients make one step")
      ->group(learning);
  command
      .add_flag("--carry-state", flags->carry_state, "Sequences go on where they stopped, with their state")
      ->group(learning);
  command.add_option("--learning-rate", flags->learning_rate)->group(learning);
  command.add_option("--final-learning-rate", flags->final_learning_rate)->group(learning);
  command
      .add_option("--learning-rate-scale", flags->learning_rate_scales,
                  "NAME=FACTOR, of the parameters whose name contains NAME (a layer: blocks.0.)")
      ->group(learning);
  command.add_option("--schedule", flags->schedule, "constant, linear, cosine, exponential")->group(learning);
  command.add_option("--warmup", flags->warmup, "Steps")->group(learning);
  command.add_option("--weight-decay", flags->weight_decay)->group(learning);
  command.add_option("--clip", flags->clip, "Largest norm of the gradient; 0: none")->group(learning);
  command.add_option("--dropout", flags->dropout, "Probability")->group(learning);
  command
      .add_option("--dropout-at", flags->dropout_at,
                  "Some of att, ffn: x + d(att(x)), x + d(ffn(x)); after_att, after_ffn: d(x + att(x)), "
                  "d(x + ffn(x)) (default: att,ffn)")
      ->group(learning);
  command.add_option("--beta1", flags->beta1)->group(learning);
  command.add_option("--beta2", flags->beta2)->group(learning);
  command.add_flag("--no-l2wrap", flags->no_l2wrap, "Without the term that keeps logits small")
      ->group(learning);
  command
      .add_option("--precision", flags->precision,
                  "Of matrix products: f32, bf16 (default: the fastest here)")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->group(learning);
  command.add_option("--seed", flags->seed)->group(learning);
  command
      .add_option("--validation-bytes", flags->validation_bytes, "Of the end of the text (default: a tenth)")
      ->group(output);
  command.add_option("--validate-every", flags->validate_every, "Steps")->group(output);
  command.add_option("--checkpoint-every", flags->checkpoint_every, "Steps, besides once a minute")
      ->group(output);
  command.add_option("--sample-every", flags->sample_every, "Steps; 0: never")->group(output);
  command.add_option("--sample-prompt", flags->sample_prompt)->capture_default_str()->group(output);
  return [flags, &command] {
    if (!flags->resume.empty()) refuse_changes(command);
    return train(*flags);
  };
}

const Registration registration({"train", CommandGroup::first, 1, "Train a model on a text", add_train});

}  // namespace
}  // namespace aviary::cli
