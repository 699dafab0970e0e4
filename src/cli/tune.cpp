// aviary tune: a model goes on learning from a text or from rows of documents.
#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "base/platform.h"
#include "base/quotes.h"
#include "checkpoints/state_file.h"
#include "cli/cli.h"
#include "cli/outputs.h"
#include "cli/ranks.h"
#include "cli/runs.h"
#include "cli/settings.h"
#include "cli/tune_inputs.h"
#include "cli/tuned_runs.h"
#include "infer/generate.h"
#include "models/cost.h"
#include "models/registry.h"
#include "train/session.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

struct TuneFlags {
  std::string base, out, resume, tokenizer;
  std::vector<std::string> data;
  std::vector<std::string> moved;  // where the data of the run is now
  Asked asked;
  bool plan = false;
  bool force = false;  // any tokenizer; with --resume, a base that has changed
  double rank_timeout = 300;
};

// ---- What is told before the first step.

void print_data(const Data& data, const Base& base) {
  if (data.text) {
    const Corpus& corpus = data.text->corpus();
    fmt::print("Data: a text of {} tokens, and {} bytes at its end to validate with\n",
               with_commas(std::ssize(corpus.train)), with_commas(corpus.validation_bytes));
    return;
  }
  const Documents& documents = data.documents->documents();
  fmt::print("Data: {} documents with {} trained tokens, and {} to validate with\n",
             with_commas(std::ssize(documents.train)), with_commas(data.documents->tokens()),
             with_commas(std::ssize(documents.validation)));
  if (documents.truncated > 0)
    tell(fmt::format("{} documents were longer than --context and lost their end",
                     with_commas(documents.truncated)));
  if (documents.straddling > 0)
    tell(fmt::format(
        "{} tokens lie on the border of a trained part; a token counts as trained if its first byte "
        "is",
        with_commas(documents.straddling)));
  if (!base.tokenizer->end_of_text())
    tell(
        "the vocabulary has no end-of-text token, so the model cannot learn where an answer ends; stop it by "
        "--stop");
  fmt::print("The first two as the model reads them, what is trained in [[ ]]:\n");
  for (size_t i = 0; i < std::min<size_t>(2, documents.train.size()); ++i)
    fmt::print("  {}\n", marked(documents.train[i], *base.tokenizer));
}

// How well the base predicts what is trained, with and without what comes before it in the documents. A
// template that the base does not know helps little.
void print_fit(Trainer& trainer, const Documents& documents) {
  constexpr size_t most = 8;
  Evaluation with, without;
  for (size_t i = 0; i < std::min(most, documents.train.size()); ++i) {
    const Document& whole = documents.train[i];
    const auto first = std::find(whole.trained.begin(), whole.trained.end(), true) - whole.trained.begin();
    if (first <= 1 || first + 1 >= std::ssize(whole.tokens)) continue;
    Document answer = whole;
    answer.tokens.erase(answer.tokens.begin(), answer.tokens.begin() + first);
    answer.trained.erase(answer.trained.begin(), answer.trained.begin() + first);
    answer.trained[0] = false;
    Document same = whole;  // without the first trained token, which the answer alone does not predict
    same.trained[static_cast<size_t>(first)] = false;
    if (same.trained_tokens() == 0) continue;
    auto add = [&](const Document& document, Evaluation& sum) {
      const Evaluation one = evaluate(trainer.runner(), document, trainer.tokenizer(), trainer.first_state());
      sum.tokens += one.tokens;
      sum.nats += one.nats;
    };
    add(same, with);
    add(answer, without);
  }
  if (with.tokens == 0) return;
  fmt::print(
      "The base predicts what is trained with {:.2f} nats per token after what comes before it, {:.2f} "
      "without\n",
      with.loss(), without.loss());
  if (with.loss() > without.loss())
    tell("what comes before the trained parts does not help the base: is the template the one it knows?");
}

void print_tuning_plan(Trainer& trainer, const Base& base) {
  const TrainConfig& config = trainer.config();
  trainer.try_pass();  // packs matrices, takes memory
  const double seconds = trainer.try_pass() * static_cast<double>(config.accumulate) /
                         static_cast<double>(trainer.ranks().count());
  fmt::print("{} ({}, {}): {} of {} parameters are trained, {}\n", base.path.string(),
             model_version(config.model.version).title, base.info.type, with_commas(trainer.trained_count()),
             with_commas(base.parameters), describe_method(config));
  const std::string sequences =
      config.text.empty() ? fmt::format("{} documents", config.batch * config.accumulate)
                          : fmt::format("{} x {} tokens", config.batch * config.accumulate, config.context);
  if (config.schedule.steps)
    fmt::print("{} steps of {}, about {} in {}\n", with_commas(*config.schedule.steps), sequences,
               human_duration(seconds * static_cast<double>(*config.schedule.steps)),
               human_bytes(platform::peak_memory()));
  else
    fmt::print("{:g} minutes of steps of {}, in {}\n", config.minutes, sequences,
               human_bytes(platform::peak_memory()));
}

// ---- Before and after.

// The beginnings of texts that the model is to continue: what comes before the trained part of documents, or
// parts of the text kept for validation.
std::vector<std::string> prompts_of(const Data& data, const Tokenizer& tokenizer) {
  constexpr size_t count = 2, length = 12;  // tokens of a text
  std::vector<std::string> prompts;
  if (data.documents) {
    const Documents& documents = data.documents->documents();
    const auto& some = documents.validation.empty() ? documents.train : documents.validation;
    for (const Document& document : some) {
      const auto first = std::find(document.trained.begin(), document.trained.end(), true);
      auto end = std::max<int64_t>(first - document.trained.begin(), 1);
      if (end <= 1) end = std::min<int64_t>(length, std::ssize(document.tokens));
      const std::string prompt = tokenizer.decode(std::span(document.tokens).first(static_cast<size_t>(end)));
      prompts.push_back(prompt.substr(0, valid_utf8_length(prompt)));
      if (prompts.size() == count) break;
    }
    return prompts;
  }
  const Corpus& corpus = data.text->corpus();
  const std::span<const int32_t> text = corpus.validation.empty() ? corpus.train : corpus.validation;
  for (size_t i = 0; i < count; ++i) {
    const size_t begin = text.size() / count * i;
    const std::string prompt = tokenizer.decode(text.subspan(begin, std::min(length, text.size() - begin)));
    const size_t space = i == 0 ? 0 : prompt.find(' ');  // the text begins within a word
    const size_t word = space == prompt.npos ? 0 : space;
    prompts.push_back(prompt.substr(word, valid_utf8_length(prompt.substr(word))));
  }
  return prompts;
}

void print_continuations(Runner& runner, const Base& base, const State& start,
                         const std::vector<std::string>& prompts) {
  for (const std::string& prompt : prompts) {
    GenerateOptions options{.tokens = 40, .begin = base.begin_token, .start = &start};
    options.sampling.temperature = 0;
    const Generation written = generate(runner, *base.tokenizer, prompt, options);
    fmt::print("  {}[{}]{}\n", printable(prompt), printable(written.text),
               written.end == TextEnd::end_of_text ? " <end>" : "");
  }
}

// The result as a user would open it, beside the base.
void print_tuned(const Trainer& trainer, const fs::path& folder, const Base& base, const Data& data,
                 const std::vector<std::string>& prompts) {
  const TrainConfig& config = trainer.config();
  const fs::path result = folder / trainer.result_file();
  OpenOptions options{.precision = config.precision};
  const TuneMethod method = config.tuning.method;
  if (method != TuneMethod::full && method != TuneMethod::state)
    options.adapters.emplace_back(AdapterRequest{.path = result, .alpha = {}, .any_base = true, .init = {}});
  const Checkpoint tuned = open_model(method == TuneMethod::full ? result : base.path, options);
  Runner runner(*tuned.model);
  const State start =
      method == TuneMethod::state ? load_state(result, *tuned.model, base.path, true) : runner.new_state();
  const int64_t window = token_cost(*tuned.model).state_growth > 0 ? config.context : 0;
  const Evaluation after = data.any()->validate(runner, *base.tokenizer, start, 0, window);
  if (after.tokens > 0)
    fmt::print("The validation part: {:.3f} bits per byte with {}\n", after.bits_per_byte(), result.string());
  fmt::print("After:\n");
  print_continuations(runner, base, start, prompts);
}

// prompts: as prompts_of() gives them. A model that has learned answers expects what came before them, such
// as "User: ...\n\nAssistant:".
std::string use_of(const Trainer& trainer, const fs::path& folder, const Base& base,
                   const std::string& tokenizer, const std::vector<std::string>& prompts) {
  constexpr size_t longest = 300;  // bytes of a prompt that is shown
  std::string prompt;
  if (!prompts.empty() && !prompts[0].empty() && prompts[0].size() <= longest)
    prompt = " --prompt " + for_shell(prompts[0]);
  const fs::path result = folder / trainer.result_file();
  const std::string file = path_for_shell(base.path.string());
  const std::string model = file + (tokenizer.empty() ? "" : " --tokenizer " + path_for_shell(tokenizer));
  const TuneMethod method = trainer.config().tuning.method;
  const bool is_adapter = method != TuneMethod::full && method != TuneMethod::state;
  return fmt::format("  {}{}\n", command_for_result(trainer.config(), result, model), prompt) +
         (is_adapter ? fmt::format("  aviary merge {} {} --out merged.safetensors\n", file,
                                   path_for_shell(result.string()))
                     : "");
}

// Of each validation during the run, so that all of them together take about a twentieth of the time of three
// epochs. It depends on the data alone: a run that goes on must compare equal measurements.
int64_t validation_tokens(const TrainingData& data) {
  return std::clamp<int64_t>(data.tokens() / 50, 2000, 20000);
}

int run_tuning(Trainer& trainer, const fs::path& folder, const Base& base, const Data& data,
               const std::string& tokenizer) {
  const std::vector<std::string> prompts = prompts_of(data, *base.tokenizer);
  if (trainer.steps_done() == 0) {
    fmt::print("Before:\n");
    print_continuations(trainer.runner(), base, trainer.first_state(), prompts);
  }
  fmt::print("\n");
  std::fflush(stdout);
  SessionOptions options{
      .folder = folder, .sample_prompt = prompts.empty() ? "" : prompts[0], .begin_token = base.begin_token};
  options.label = "tune";
  options.validation_tokens = validation_tokens(trainer.data());
  const SessionEnd end = run_session(trainer, options);
  trainer.end();
  if (end == SessionEnd::interrupted) {
    fmt::print("\nStopped after step {}; everything is saved. Go on with:\n  aviary tune --resume {}\n",
               place_of(trainer), path_for_shell(folder.string()));
    return interrupt_exit_code();
  }
  if (end == SessionEnd::gets_worse)
    fmt::print("\nStopped after step {}: the last {} validations were no better.\n", place_of(trainer),
               trainer.config().tuning.patience);
  if (trainer.best_validation() >= 0 && trainer.best_step() < trainer.steps_done())
    fmt::print("The result is that of step {}, the best one.{}\n", with_commas(trainer.best_step()),
               trainer.best_step() == 0 ? " It is the base itself: nothing that was learned helped with the "
                                          "validation part; try a smaller --learning-rate or more data"
                                        : "");
  fmt::print("\n");
  print_tuned(trainer, folder, base, data, prompts);
  fmt::print("\nDone. Use it:\n{}", use_of(trainer, folder, base, tokenizer, prompts));
  return 0;
}

// The settings of rank 0, whose folder has them.
TrainConfig settings_of_tuning(const TuneFlags& flags, const std::optional<RunFolder>& folder, Ranks& ranks) {
  if (!folder) return train_config_from_json(ranks.broadcast(std::string()), "rank 0");
  const TrainConfig config = read_run_config(folder->path());
  require(config.tuning.of_model(),
          "{}: this run trains a new model; go on with it by aviary train --resume {}", flags.resume,
          path_for_shell(flags.resume));
  require(is_run(folder->path()),
          "{}: the run was stopped before its first checkpoint; start it again as it was started",
          flags.resume);
  ranks.broadcast(to_json(config));
  return config;
}

void require_same_model(Ranks& ranks, const Base& base) {
  require_same(ranks, "another model", base.info.hash + " (its hash)",
               "every machine reads it from its own disk, so copy the file to all of them");
}

int resume_tuning(const TuneFlags& flags, Ranks& ranks) {
  std::optional<RunFolder> folder;
  if (ranks.speaks()) folder.emplace(RunFolder::hold(flags.resume));
  const bool moved = !flags.moved.empty();
  TrainConfig config = settings_of_tuning(flags, folder, ranks);
  const fs::path place = flags.base.empty() ? fs::path(config.tuning.base) : fs::path(flags.base);
  require(fs::exists(place),
          "{}: No such file or directory: this was the base of the run; if it has moved, say where it "
          "is now: aviary tune BASE --resume {}",
          place.string(), path_for_shell(flags.resume));
  const TokenizerPtr tokenizer =
      shared_tokenizer(folder ? read_run_tokenizer(folder->path()) : nullptr, ranks);
  const Base base = read_base_of_run(place, tokenizer, config.tuning.method);
  if (!flags.force)
    require_same_base({config.tuning.base_hash, config.tuning.base_type, config.tuning.base_name},
                      flags.resume, base.info);
  require_same_model(ranks, base);  // also where --force takes another one than that of the run
  if (moved) config = with_data_at(config, flags.moved);
  const Data data = read_data_of_run(config, base, moved);
  const std::unique_ptr<Trainer> trainer = make_trainer(config, base, data, ranks);
  if (!folder) return trainer->follow(), 0;
  trainer->load(folder->path());
  if (moved) write_run_config(folder->path(), trainer->config());
  take_steps(*trainer, flags.asked.values.schedule.steps, folder->path());
  fmt::print("Going on after step {}\n", place_of(*trainer));
  return run_tuning(*trainer, folder->path(), base, data, flags.tokenizer);
}

// The settings of a new run, the same on all ranks.
TrainConfig settings_for(const TuneFlags& flags, const Base& base, const Data& data, Ranks& ranks) {
  require_same_model(ranks, base);
  require_same(ranks, "other data", data.hash + " (its hash)",
               "every machine reads the data from its own disk, so copy the files to all of them");
  TuningFacts facts = facts_of(base, data);
  facts.processes = processes_of_launcher(ranks);
  facts.free_memory = ranks.broadcast(facts.free_memory);
  const TrainConfig config = resolve_tuning(flags.asked, facts);
  require_same(ranks, "another setting", to_json(config),
               "start all ranks with the same options, and with files under the same paths");
  return config;
}

int begin_tuning(const TuneFlags& flags, Ranks& ranks) {
  require(
      !flags.base.empty() && !flags.data.empty(),
      "tune: name a model and the data (aviary tune model.safetensors rows.jsonl), or a run to go on with "
      "(--resume RUN)");
  if (ranks.speaks()) require_free(flags.out);
  const Base base =
      read_base(find_model(flags.base), flags.tokenizer, flags.force, flags.asked.values.tuning.method);
  const Data data = read_data(flags.data, flags.asked, base);
  const TrainConfig config = settings_for(flags, base, data, ranks);
  const std::unique_ptr<Trainer> trainer = make_trainer(config, base, data, ranks);
  if (!ranks.speaks()) return trainer->follow(), 0;
  print_data(data, base);
  if (data.documents) print_fit(*trainer, data.documents->documents());
  print_tuning_plan(*trainer, base);
  if (flags.plan) return 0;
  const std::string name = fs::path(data_request(flags.data[0]).path).stem().string();
  const bool existed = !flags.out.empty() && fs::exists(flags.out);
  const RunFolder folder = new_run_folder(flags.out, name);
  const RemoveIfEmpty cleanup{existed ? fs::path() : folder.path()};
  std::vector<fs::path> inputs = {base.path, flags.tokenizer};
  for (const std::string& request : flags.data) inputs.push_back(data_request(request).path);
  require_apart(files_of_run(folder.path()), inputs);
  write_run_config(folder.path(), trainer->config());
  fmt::print("The run is kept in {}\n", folder.path().string());
  return run_tuning(*trainer, folder.path(), base, data, flags.tokenizer);
}

int tune(const TuneFlags& flags, const CLI::App& command) {
  platform::ignore_broken_pipes();  // as in `| tee` on Ctrl-C; the run must still be saved
  Ranks& ranks = join_ranks(command, flags.rank_timeout);
  require(ranks.alone() || !flags.plan, "tune: --plan measures one process; leave mpirun out");
  require_same_program(ranks);
  return flags.resume.empty() ? begin_tuning(flags, ranks) : resume_tuning(flags, ranks);
}

Action add_tune(CLI::App& command) {
  auto flags = std::make_shared<TuneFlags>();
  command.add_option(
      "model", flags->base,
      "The model to tune: a model file in any format, quantized ones included, a folder of Hugging Face, "
      "or the folder of a run (default: none, with --resume that of the run)");
  command.add_option("data", flags->data,
                     "What it learns from: a text, or files of JSON lines (docs/texts.md), each as FILE or "
                     "FILE,weight=W (default: none, with --resume that of the run)");
  command.add_option("--resume", flags->resume,
                     "Go on with the run in this folder, bit for bit (default: a new run)");
  command
      .add_option("--data", flags->moved,
                  "With --resume: where the data of the run is now; repeated for each file (default: where "
                  "it was)")
      ->needs("--resume");
  command.add_option("--out", flags->out, "Folder of the run (default: runs/<name of the data>)");
  command.add_flag("--plan", flags->plan, "Only tell what would be done, with its time and memory");
  add_settings(command, setting_flags::tune, flags->asked);
  command
      .add_option("--tokenizer", flags->tokenizer,
                  fmt::format("Its tokenizer: {} (default: the model's own)", tokenizer_kinds))
      ->group(model_group);
  command
      .add_flag(
          "--force", flags->force,
          "Take --tokenizer also where the model was trained with another one; with --resume, another base")
      ->group(model_group);
  add_rank_timeout(command, flags->rank_timeout);
  return [flags, &command] {
    if (!flags->resume.empty())
      refuse_changes(command, {"--steps", "--force", "model", "--data", "--rank-timeout"});
    return tune(*flags, command);
  };
}

const Registration tune_command({"tune", CommandGroup::first, 4,
                                 "Make a model yours: go on training it on your data", add_tune});

}  // namespace
}  // namespace aviary::cli
