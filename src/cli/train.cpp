// aviary train: trains a model on a text.
#include <aviary/version.h>
#include <fmt/format.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <chrono>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "base/platform.h"
#include "base/quotes.h"
#include "cli/cli.h"
#include "cli/outputs.h"
#include "cli/ranks.h"
#include "cli/runs.h"
#include "cli/settings.h"
#include "cli/texts.h"
#include "cli/train_inputs.h"
#include "cli/train_plan.h"
#include "eval/speed.h"
#include "models/registry.h"
#include "train/run_folder.h"
#include "train/session.h"
#include "train/trainer.h"

namespace aviary::cli {

std::string hash_of(std::string_view text) {
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

namespace {

namespace fs = std::filesystem;

struct TrainCommandFlags {
  std::vector<std::string> texts;  // a text, or files of tokens
  std::string resume, out, tokenizer, preset;
  Asked asked;  // the settings
  std::optional<std::string> sample_prompt;
  double rank_timeout = 300;
  bool plan = false, forecast = false;
  int64_t planned_ranks = 1;
  std::string planned_link;
  Escapes escapes;
  std::chrono::steady_clock::time_point began = {};  // the command

  double used_seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  }
};

// What a run learns from.
struct Material {
  std::shared_ptr<const TrainingData> data;
  TokenSpan beginning;
};

Material material_of(std::shared_ptr<const TextData> data) {
  const TokenSpan beginning = data->corpus().train;
  return {std::move(data), beginning};
}
Material material_of(std::shared_ptr<const TokenData> data) {
  const TokenSpan beginning = data->corpus().parts()[0].train();
  return {std::move(data), beginning};
}

// Null if Ctrl-C stopped learning a vocabulary.
TokenizerPtr tokenizer_for(const TrainCommandFlags& flags, std::string_view text, int64_t size) {
  if (flags.tokenizer == "bytes" || (flags.tokenizer.empty() && size <= 256)) return make_bytes_tokenizer();
  if (!flags.tokenizer.empty()) return open_tokenizer(flags.tokenizer);
  fmt::print("Learning a vocabulary of {} tokens from the text\n", with_commas(size));
  std::fflush(stdout);
  const std::string vocabulary = learn_vocabulary(text, static_cast<int32_t>(size));
  return vocabulary.empty() ? nullptr : make_world_tokenizer(vocabulary);
}

// folder: nothing with --plan.
void print_plan(const Trainer& trainer, const std::optional<RunFolder>& folder) {
  const TrainConfig& config = trainer.config();
  fmt::print("{}: {} layers, width {}, {} tokens ({}), {} parameters\n",
             model_version(config.model.version).title, config.model.n_layer, config.model.n_embd,
             with_commas(config.model.vocab_size), trainer.tokenizer().kind(),
             with_commas(trainer.model().parameters().count()));
  fmt::print("{} bytes to train on are {} tokens; {} bytes at the end are kept for validation\n",
             with_commas(trainer.data().bytes()), with_commas(trainer.data().tokens()),
             with_commas(trainer.data().validation_bytes()));
  const Schedule& schedule = config.schedule;
  std::string length;
  if (schedule.steps)
    length = with_commas(*schedule.steps) + " steps";
  else if (schedule.most_steps > 0)
    length = fmt::format("At most {} steps and {:g} minutes: steps", with_commas(schedule.most_steps),
                         config.minutes);
  else
    length = fmt::format("{:g} minutes of steps", config.minutes);
  const int64_t ranks = trainer.ranks().count();
  if (config.local_steps > 0)
    fmt::print("{} train{} on {} of a batch alone for {} steps, then {}\n",
               ranks > 1 ? fmt::format("{} processes", ranks) : "1 process", ranks > 1 ? "" : "s",
               ranks > 1 ? "their parts" : "all", config.local_steps,
               ranks > 1 ? "they meet" : "the outer step follows");
  else if (ranks > 1)
    fmt::print("{} processes share the {} parts of a batch\n", ranks, config.workers);
  fmt::print("{} of {} x {} tokens, {}", length, config.batch * config.accumulate, config.context,
             config.precision == kernels::Precision::bf16 ? "bf16 products" : "f32");
  fmt::print("{}\n\n", folder ? fmt::format("; the run is kept in {}", folder->path().string()) : "");
  std::fflush(stdout);
}

int finish(Trainer& trainer, SessionOptions options) {
  const std::string folder = options.folder.string();
  const SessionEnd end = run_session(trainer, options);
  trainer.end();
  if (end == SessionEnd::interrupted) {
    fmt::print("\nStopped after step {}; everything is saved. Go on with:\n  aviary train --resume {}\n",
               place_of(trainer), path_for_shell(folder));
    return interrupt_exit_code();
  }
  fmt::print(
      "\nDone: {0}/model.safetensors is the model, {0}/loss.svg its loss. Write with it:\n"
      "  aviary generate {1} --prompt {2}\n",
      folder, path_for_shell(folder), for_shell(options.sample_prompt));
  return 0;
}

// What samples begin with. Throws Error if the vocabulary cannot spell the text of --sample-prompt.
std::string sample_prompt_of(const TrainCommandFlags& flags, const Trainer& trainer, TokenSpan beginning) {
  if (!flags.sample_prompt) return usual_sample_prompt(trainer.tokenizer(), beginning);
  try {
    trainer.tokenizer().encode(*flags.sample_prompt);
  } catch (const Error& error) {
    fail("--sample-prompt \"{}\": {}", excerpt(*flags.sample_prompt), error.what());
  }
  return *flags.sample_prompt;
}

// The text of a run to go on with: where it was, or where --text says that it is now.
TextFile text_of_run(const TrainCommandFlags& flags, const TrainConfig& config) {
  require(
      !flags.texts.empty() || fs::exists(config.text),
      "{}: No such file or directory: this was the text of the run; if it has moved, say where it is now: "
      "--text FILE",
      config.text);
  require(flags.texts.size() <= 1, "--text: the run learns from one text, and {} are named",
          flags.texts.size());
  TextFile file(flags.texts.empty() ? config.text : flags.texts[0]);
  require(hash_of(file.text()) == config.text_hash, "{}: {}", file.name(),
          flags.texts.empty() ? "the text has changed since the run began; restore it, or start a new run"
                              : "this is not the text of the run; name that one, or start a new run");
  return file;
}

// The settings of rank 0, whose folder has them.
TrainConfig settings_of_run(const TrainCommandFlags& flags, const std::optional<RunFolder>& folder,
                            Ranks& ranks) {
  if (!folder) return train_config_from_json(ranks.broadcast(std::string()), "rank 0");
  TrainConfig config = read_run_config(folder->path());
  require(!config.tuning.of_model(), "{}: this run tunes a model; go on with it by aviary tune --resume {}",
          flags.resume, path_for_shell(flags.resume));
  require(fs::exists(folder->path() / "checkpoint.safetensors"),
          "{}: the run was stopped before its first checkpoint; start it again as it was started",
          flags.resume);
  if (const std::optional<int64_t> steps = flags.asked.values.schedule.steps) {
    config.schedule.steps = steps;
    config.schedule.corrections.clear();  // of the number that was planned
  }
  check(config);
  ranks.broadcast(to_json(config));
  return config;
}

int resume(const TrainCommandFlags& flags, Ranks& ranks) {
  const bool moved = !flags.texts.empty();
  std::optional<RunFolder> folder;
  if (ranks.speaks()) folder.emplace(RunFolder::hold(flags.resume));
  TrainConfig config = settings_of_run(flags, folder, ranks);
  std::optional<TextFile> file;
  if (config.data.empty()) file.emplace(text_of_run(flags, config));
  if (moved && !file) config = with_tokens_at(config, flags.texts);
  if (folder && moved && file) config.text = place_of_text(*file, folder->path());
  const TokenizerPtr tokenizer =
      shared_tokenizer(folder ? read_run_tokenizer(folder->path()) : nullptr, ranks);
  const Material material =
      file
          ? material_of(std::make_shared<TextData>(Corpus(file->text(), *tokenizer, config.validation_bytes)))
          : material_of(read_tokens_of_run(config, *tokenizer, moved));
  Trainer trainer(config, new_model(config), tokenizer, material.data, nullptr, ranks);
  if (!folder) return trainer.follow(), 0;
  trainer.load(folder->path());
  const std::string sample_prompt = sample_prompt_of(flags, trainer, material.beginning);
  if (moved && file) keep_text(*file, config.text);
  if (moved) write_run_config(folder->path(), trainer.config());
  take_steps(trainer, flags.asked.values.schedule.steps, folder->path());
  fmt::print("Going on after step {}\n", place_of(trainer));
  return finish(
      trainer,
      {.folder = folder->path(), .sample_prompt = sample_prompt, .used_seconds = flags.used_seconds()});
}

int plan(const TrainCommandFlags& flags, TrainConfig config, const TokenizerPtr& tokenizer,
         const Material& material) {
  PlannedMachines machines{.count = flags.planned_ranks, .local_steps = config.local_steps};
  if (!flags.planned_link.empty()) machines.link = link_of(flags.planned_link);
  if (flags.forecast) {
    require(machines.count == 1 && config.local_steps == 0,
            "--forecast tries short runs on this machine alone; leave --ranks and --local-steps out");
    require(material.data->validation_bytes() > 0,
            "--forecast tells bits per byte of the validation text, but there is none; leave "
            "--validation-bytes out");
  }
  config.local_steps = 0;  // every worker is measured here
  require(config.workers % machines.count == 0,
          "--ranks {}: so many machines cannot share the {} workers of the run evenly; give fewer, or more "
          "--workers",
          machines.count, config.workers);
  PlannedRun run;
  {
    Trainer trainer(config, new_model(config), tokenizer, material.data);
    print_plan(trainer, {});
    run = tell_plan(trainer, flags.used_seconds(), machines);
  }
  return flags.forecast ? tell_forecast(config, tokenizer, material.data, run) : 0;
}

// A new run, when all is known about it. `file`: the text, if there is one, to be kept if it is a stream.
int start(const TrainCommandFlags& flags, Ranks& ranks, const std::optional<RunFolder>& folder,
          const TrainConfig& config, const TokenizerPtr& tokenizer, const Material& material,
          const TextFile* file) {
  require_same(ranks, "another setting", to_json(config), "start all ranks with the same options");
  if (flags.plan) return plan(flags, config, tokenizer, material);
  Trainer trainer(config, new_model(config), tokenizer, material.data, nullptr, ranks);
  if (!folder) return trainer.follow(), 0;
  const std::string sample_prompt = sample_prompt_of(flags, trainer, material.beginning);
  if (file) keep_text(*file, config.text);
  write_run_config(folder->path(), trainer.config());
  print_plan(trainer, folder);
  return finish(
      trainer,
      {.folder = folder->path(), .sample_prompt = sample_prompt, .used_seconds = flags.used_seconds()});
}

// Of rank 0; nothing for other ranks, and with --plan.
std::optional<RunFolder> new_folder(const TrainCommandFlags& flags, const std::string& name, Ranks& ranks) {
  std::optional<RunFolder> folder;
  if (!ranks.speaks() || flags.plan) return folder;
  folder.emplace(new_run_folder(flags.out, name));
  std::vector<fs::path> inputs(flags.texts.begin(), flags.texts.end());
  inputs.emplace_back(flags.tokenizer);
  require_apart(files_of_run(folder->path()), inputs);
  return folder;
}

// Those that there are, or those of --plan.
int64_t processes_of(const TrainCommandFlags& flags, const Ranks& ranks) {
  return flags.planned_ranks > 1 ? flags.planned_ranks : processes_of_launcher(ranks);
}

int begin_with_text(const TrainCommandFlags& flags, Ranks& ranks) {
  const TextFile file = open_text_to_learn(flags.texts[0]);
  Facts facts{.text = text_facts(file), .processes = processes_of(flags, ranks)};
  require_same(ranks, "another text", facts.text.hash + " (its hash)",
               "every machine reads the text from its own disk, so copy the file to all of them");
  // Rejects invalid settings before time is spent.
  const TrainConfig preliminary = resolve(flags.asked, facts);
  complete(preliminary.model);  // and so does this
  const SplitText split = split_text(file.text(), preliminary.validation_bytes);
  const bool existed = !flags.out.empty() && fs::exists(flags.out);
  const std::optional<RunFolder> folder = new_folder(flags, usual_name(file), ranks);
  const RemoveIfEmpty cleanup{existed || !folder ? fs::path() : folder->path()};
  const TokenizerPtr tokenizer = shared_tokenizer(
      ranks.speaks() ? tokenizer_for(flags, split.train, preliminary.model.vocab_size) : nullptr, ranks);
  if (!tokenizer) {
    if (ranks.speaks()) fmt::print("Stopped before the first step; nothing is kept.\n");
    return interrupt_exit_code();
  }
  Corpus corpus(split, *tokenizer);
  facts.vocabulary = vocabulary_facts(*tokenizer, std::ssize(corpus.train), !flags.tokenizer.empty());
  if (!flags.plan) facts.text.path = ranks.broadcast(folder ? place_of_text(file, folder->path()) : "");
  return start(flags, ranks, folder, resolve(flags.asked, facts), tokenizer,
               material_of(std::make_shared<TextData>(std::move(corpus))), &file);
}

int begin_with_tokens(const TrainCommandFlags& flags, Ranks& ranks) {
  require(!flags.tokenizer.empty(),
          "{}: a file of tokens does not tell its vocabulary; name the tokenizer that it was built with: "
          "--tokenizer, {}",
          flags.texts[0], tokenizer_kinds);
  const TokenizerPtr tokenizer =
      shared_tokenizer(ranks.speaks() ? open_tokenizer(flags.tokenizer) : nullptr, ranks);
  const auto data = read_tokens(flags.texts, *tokenizer, flags.asked.values.validation_bytes);
  Facts facts{.text = facts_of(*data), .processes = processes_of(flags, ranks)};
  require_same(ranks, "other tokens", facts.text.hash + " (their hash)",
               "every machine reads the files from its own disk, so copy them to all of them");
  facts.vocabulary = vocabulary_facts(*tokenizer, data->tokens(), true);
  const TrainConfig config = resolve(flags.asked, facts);
  complete(config.model);  // rejects invalid sizes before there is a folder
  const bool existed = !flags.out.empty() && fs::exists(flags.out);
  const std::optional<RunFolder> folder =
      new_folder(flags, fs::path(data->corpus().parts()[0].file.name()).stem().string(), ranks);
  const RemoveIfEmpty cleanup{existed || !folder ? fs::path() : folder->path()};
  return start(flags, ranks, folder, config, tokenizer, material_of(data), nullptr);
}

int begin(const TrainCommandFlags& flags, Ranks& ranks) {
  require(!flags.texts.empty(),
          "train: name a text (aviary train book.txt) or a run to go on with (--resume RUN)");
  return name_tokens(flags.texts) ? begin_with_tokens(flags, ranks) : begin_with_text(flags, ranks);
}

int train(const TrainCommandFlags& flags, const CLI::App& command) {
  // The reader of the output may disappear, like `| tee` on Ctrl-C; the run must still be saved.
  platform::ignore_broken_pipes();
  Ranks& ranks = join_ranks(command, flags.rank_timeout);
  require(ranks.alone() || flags.texts != std::vector<std::string>{"-"},
          "train: only one of several processes can read the standard input; name a file");
  require(ranks.alone() || !flags.plan, "train: --plan measures one process; leave mpirun out");
  if (!flags.planned_link.empty()) link_of(flags.planned_link);  // is refused before time is spent
  require(std::has_single_bit(static_cast<uint64_t>(flags.planned_ranks)),
          "--ranks is {}, expected a power of two: 1, 2, 4, 8, ...", flags.planned_ranks);
  require(
      !flags.plan || flags.resume.empty(),
      "train: --plan tells what a new run would do, and --resume goes on with one; leave one of them out");
  require_same_program(ranks);
  return flags.resume.empty() ? begin(flags, ranks) : resume(flags, ranks);
}

Action add_train(CLI::App& command) {
  auto flags = std::make_shared<TrainCommandFlags>();
  command
      .add_option("text,--text", flags->texts,
                  "The text to learn from, in UTF-8; -: the standard input; or tokens that aviary data build "
                  "has made, FILE.bin or FILE.bin,weight=W, one or several; with --resume, where it is now "
                  "(default: none, with --resume where it was)")
      ->type_name("TEXT...");
  command.add_option("--resume", flags->resume,
                     "Go on with the run in this folder, bit for bit (default: begin a new run)");
  command.add_option("--out", flags->out, "Folder of the run (default: runs/<name of the text>)");
  command.add_flag("--plan", flags->plan,
                   "Only tell what would be done and, from a few real steps, how long it would take");
  command
      .add_flag("--forecast", flags->forecast,
                "With --plan: also how many bits per byte it would reach, from two short runs, which take up "
                "to a tenth of its time and at most three minutes")
      ->needs("--plan");
  command
      .add_option("--ranks", flags->planned_ranks,
                  "With --plan: the same on so many machines as this one, 1, 2, 4, 8, ... (default: 1)")
      ->check(bounds(1, 1 << 10))
      ->needs("--plan")
      ->group(several_processes);
  command
      .add_option("--link", flags->planned_link,
                  "With --plan and --ranks: the line between them, as 10Mbit or 1Gbit (default: none, their "
                  "exchanges take no time)")
      ->needs("--ranks")
      ->group(several_processes);
  add_settings(command, setting_flags::train, flags->asked);
  command
      .add_option("--preset", flags->preset,
                  "Settings of an example, where no others are given: quickstart (default: by the text)")
      ->check(CLI::IsMember({"quickstart"}))
      ->group("Model");
  command
      .add_option("--tokenizer", flags->tokenizer,
                  fmt::format("{} (default: learned from the text)", tokenizer_kinds))
      ->group("Model");
  add_model_options(command, flags->asked.values.model.options);
  command
      .add_option("--sample-prompt", flags->sample_prompt,
                  "What samples begin with (default: \"The \", or the first characters of the text)")
      ->group("Output");
  add_rank_timeout(command, flags->rank_timeout);
  flags->escapes.add_to(command, "--sample-prompt")->needs("--sample-prompt")->group("Output");
  return [flags, &command] {
    if (flags->sample_prompt)
      flags->sample_prompt = flags->escapes.read("--sample-prompt", *flags->sample_prompt);
    if (!flags->resume.empty())
      refuse_changes(command, {"--steps", "--sample-prompt", "--escape", "--text", "--rank-timeout"});
    flags->asked.quickstart = !flags->preset.empty();
    flags->began = std::chrono::steady_clock::now();
    return train(*flags, command);
  };
}

const Registration train_command({"train", CommandGroup::first, 1, "Train a model on a text", add_train});

}  // namespace
}  // namespace aviary::cli
