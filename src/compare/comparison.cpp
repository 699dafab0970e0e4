#include "compare/comparison.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "base/platform.h"
#include "compare/results.h"
#include "models/registry.h"
#include "train/log.h"
#include "train/plan.h"
#include "train/run_folder.h"
#include "train/session.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

constexpr double planning_seconds = 1, planning_steps = 20;  // at most, for each member
constexpr double training_share = 0.85;                      // of the minutes; the rest is for measurements
constexpr int64_t fewest_steps = 10, validations = 10;

class Comparison {
 public:
  Comparison(const ComparisonOptions& options, Ledger ledger, TokenizerPtr tokenizer, const Corpus& data)
      : options_(options), ledger_(std::move(ledger)), tokenizer_(std::move(tokenizer)), data_(data) {}

  ComparisonEnd run() {
    plan();
    if (!guard_.interrupted()) announce();
    for (size_t i = 0; i < options_.members.size() && !guard_.interrupted(); ++i) {
      train(i);
      if (i + 1 < options_.members.size()) show_page();
    }
    write_page();
    if (guard_.interrupted()) return ComparisonEnd::interrupted;
    return failures_.empty() ? ComparisonEnd::finished : ComparisonEnd::some_failed;
  }

 private:
  fs::path folder_of(const Member& member) const { return options_.folder / member.name; }

  TrainConfig config_of(const Member& member) const { return member_config(options_, member, ledger_.steps); }

  // Measures the speed of every new member with some steps, and chooses the number of steps.
  void plan();
  MemberPlan measure_plan(const Member& member) const;
  double seconds_for(const Member& member, int64_t steps) const {
    return static_cast<double>(steps * options_.shared.tokens_per_step()) /
           ledger_.plans.at(member.name).tokens_per_second / training_share;
  }
  // Estimated from the speeds measured before training.
  double seconds_left() const;
  void announce() const;
  void tell(const Member& member) const;
  // Everything that has not been done yet for member i.
  void train(size_t i);
  void train_to_the_end(const Member& member, const std::string& label);
  MemberResult result_of(const Member& member) const;
  void write_page() const;
  // The page so far; the next member does not need it.
  void show_page() const;
  // The others are still compared.
  void leave_out(const Member& member, const Error& error);

  const ComparisonOptions& options_;
  Ledger ledger_;
  TokenizerPtr tokenizer_;
  const Corpus& data_;
  InterruptGuard guard_;
  std::map<std::string, std::string> failures_;
};

MemberPlan Comparison::measure_plan(const Member& member) const {
  using Clock = std::chrono::steady_clock;
  platform::reset_peak_memory();
  Trainer trainer(config_of(member), tokenizer_, data_);
  trainer.step();  // allocates memory
  const auto begin = Clock::now();
  double seconds = 0;
  int64_t steps = 0;
  while (steps == 0 || (seconds < planning_seconds && static_cast<double>(steps) < planning_steps)) {
    trainer.step();
    ++steps;
    seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  return {.parameters = trainer.model().parameters().count(),
          .training_bytes = platform::peak_memory(),
          .tokens_per_second =
              static_cast<double>(steps * options_.shared.tokens_per_step()) / std::max(seconds, 1e-9)};
}

void Comparison::plan() {
  for (const Member& member : options_.members) {
    if (ledger_.plans.contains(member.name)) continue;
    if (guard_.interrupted()) return;
    const MemberPlan plan = ledger_.plans[member.name] = measure_plan(member);
    fmt::print(options_.out, "{:<24} {:>12} parameters  {:>16}  {}\n", member.name,
               with_commas(plan.parameters), human_rate(plan.tokens_per_second, "tokens"),
               plan.training_bytes ? human_bytes(plan.training_bytes) : "");
    std::fflush(options_.out);
    write_ledger(options_.folder, ledger_);
  }
  if (ledger_.steps > 0) return;
  if (!options_.shared.schedule.steps) {
    double seconds = 0;
    for (const Member& member : options_.members) seconds += seconds_for(member, 1);
    ledger_.steps = static_cast<int64_t>(options_.shared.minutes * 60 / seconds);
    ledger_.steps = std::max(ledger_.steps, fewest_steps);
  } else {
    ledger_.steps = *options_.shared.schedule.steps;
  }
  write_ledger(options_.folder, ledger_);
}

double Comparison::seconds_left() const {
  double seconds = 0;
  for (const Member& member : options_.members)
    if (!read_measures(folder_of(member)) && !failures_.contains(member.name))
      seconds += seconds_for(member, ledger_.steps);
  return std::ceil(seconds);
}

void Comparison::announce() const {
  const double seconds = seconds_left();
  fmt::print(
      options_.out, "\n{} steps of {} x {} tokens for each of {} models; {}\n\n", with_commas(ledger_.steps),
      options_.shared.batch * options_.shared.accumulate, options_.shared.context, options_.members.size(),
      seconds > 0 ? fmt::format("about {} in all", human_duration(seconds)) : "all are trained already");
  if (const int64_t warmup = options_.shared.schedule.warmup; options_.warmup_given && warmup > ledger_.steps)
    fmt::print(
        options_.out,
        "note: the warm-up of {} steps is longer than the training of a model: the learning rate stays "
        "below its value\n\n",
        with_commas(warmup));
  std::fflush(options_.out);
}

void Comparison::train_to_the_end(const Member& member, const std::string& label) {
  const fs::path path = folder_of(member);
  make_folders(path);
  const RunFolder folder = RunFolder::hold(path);
  Trainer trainer(config_of(member), tokenizer_, data_);
  if (fs::exists(path / "checkpoint.safetensors")) {
    const std::string differs = difference(to_json(read_run_config(path)), to_json(trainer.config()));
    require(differs.empty(), "{}: there is a run with other settings ({}); name another folder with --out",
            path.string(), differs);
    trainer.load(path);
  } else {
    require(can_begin(path), "{}: there are files of something else; name another folder with --out",
            path.string());
    write_run_config(path, trainer.config());
  }
  if (trainer.finished()) return trainer.save(path);  // the last save may have been interrupted
  const SessionOptions session{.folder = path,
                               .sample_prompt = "",
                               .label = label,
                               .validation_tokens = 0,
                               .validation_window = options_.shared.context,
                               .tell_validation = false,
                               .out = options_.out};
  try {
    run_session(trainer, session);
  } catch (const Error& error) {
    leave_out(member, error);
  }
}

void Comparison::train(size_t i) {
  const Member& member = options_.members[i];
  const fs::path path = folder_of(member);
  if (read_measures(path)) return;
  train_to_the_end(member, fmt::format("{} of {}, {}", i + 1, options_.members.size(), member.name));
  if (guard_.interrupted() || failures_.contains(member.name)) return;
  try {
    const auto measures =
        measure_member(path, config_of(member), data_, [&] { return !guard_.interrupted(); });
    if (!measures) return;
    write_measures(path, *measures);
    tell(member);
  } catch (const Error& error) {
    leave_out(member, error);
  }
}

void Comparison::leave_out(const Member& member, const Error& error) {
  fmt::print(options_.out, "{}: {}\n", member.name, error.what());
  failures_[member.name] = error.what();
}

void Comparison::tell(const Member& member) const {
  const double left = seconds_left();
  fmt::print(options_.out, "{}: {:.4f} bits per byte of the validation text{}\n", member.name,
             result_of(member).validation_bits_per_byte(),
             left > 0 ? fmt::format("; about {} left", human_duration(left)) : "");
  std::fflush(options_.out);
}

MemberResult Comparison::result_of(const Member& member) const {
  const fs::path path = folder_of(member);
  const TrainConfig config = config_of(member);
  const std::unique_ptr<Model> model = create_model(config.model);
  const auto failure = failures_.find(member.name);
  const auto plan = ledger_.plans.find(member.name);
  return {.member = member,
          .config = config,
          .plan = plan == ledger_.plans.end() ? MemberPlan{} : plan->second,
          .cost = token_cost(*model),
          .log = read_log(path),
          .measures = read_measures(path),
          .failure = failure == failures_.end() ? "" : failure->second};
}

void Comparison::show_page() const {
  try {
    write_page();
  } catch (const Error& error) {
    fmt::print(options_.out, "note: no page yet: {}\n", error.what());
  }
}

void Comparison::write_page() const {
  ComparisonResult result{.shared = options_.shared,
                          .steps = ledger_.steps,
                          .own_recipes = options_.own_recipes,
                          .text_name = fs::path(options_.shared.text).filename().string(),
                          .train_bytes = data_.train_bytes,
                          .train_tokens = std::ssize(data_.train),
                          .validation_bytes = data_.validation_bytes,
                          .validation_tokens = std::ssize(data_.validation),
                          .members = {}};
  for (const Member& member : options_.members) result.members.push_back(result_of(member));
  for (const auto& [name, csv] : tables_of(result)) write_file_atomically(options_.folder / name, csv);
  write_file_atomically(options_.folder / "tokens.svg", tokens_figure(result));
  write_file_atomically(options_.folder / "time.svg", time_figure(result));
  write_file_atomically(options_.folder / "compare.html", page_of(result));
}

}  // namespace

TrainConfig member_config(const ComparisonOptions& options, const Member& member, int64_t steps) {
  TrainConfig config = options.shared;
  const ModelConfig& sizes = options.shared.model;
  config.model = member.model;
  config.model.n_layer = sizes.n_layer;
  config.model.n_embd = sizes.n_embd;
  config.model.vocab_size = sizes.vocab_size;
  config.model.ctx_len = config.context;
  config.minutes = 0;
  if (steps > 0) config.schedule.steps = steps;
  if (config.schedule.steps && !options.warmup_given)
    config.schedule.warmup = std::min(config.schedule.warmup, *config.schedule.steps / 5);
  const Schedule schedule = config.schedule;
  apply_recipe(config);
  if (!options.own_recipes) config.schedule = schedule;
  if (config.validate_every < 0 && config.schedule.steps)
    config.validate_every = std::max<int64_t>(1, *config.schedule.steps / validations);
  config.sample_every = 0;
  check(config);
  config.model = complete(config.model);
  return config;
}

Ledger open_comparison(const fs::path& folder, const std::string& asked) {
  if (const std::optional<Ledger> ledger = read_ledger(folder)) {
    const std::string differs = difference(asked_by_this_program(ledger->asked, folder.string()), asked);
    require(differs.empty(),
            "{}: there is a comparison with other settings ({}); give the same ones to continue it, or name "
            "another folder with --out",
            folder.string(), differs);
    return *ledger;
  }
  require(!fs::exists(folder) || fs::is_directory(folder),
          "{}: this is a file; name another folder with --out", folder.string());
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    const std::string name = entry.path().filename().string();
    require(name.starts_with("."),
            "{}: there are files of something else ({}); name another folder with --out", folder.string(),
            name);
  }
  return {.asked = asked, .plans = {}};
}

void check_corpus(const Corpus& data, const TrainConfig& shared) {
  for (const auto& [what, tokens] :
       {std::pair("training", std::ssize(data.train)), std::pair("validation", std::ssize(data.validation))})
    require(
        tokens > shared.context,
        "{}: the text for {} has {} tokens, more than the --context of {} are needed; take a longer text, a "
        "smaller context or other --validation-bytes",
        shared.text, what, tokens, shared.context);
}

std::vector<std::filesystem::path> files_of_comparison(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const char* name : {"compare.json", "compare.html", "members.csv", "loss.csv", "validation.csv",
                           "positions.csv", "tokens.svg", "time.svg"})
    files.push_back(folder / name);
  return files;
}

ComparisonEnd run_comparison(const ComparisonOptions& options, Ledger ledger, const TokenizerPtr& tokenizer,
                             const Corpus& data) {
  return Comparison(options, std::move(ledger), tokenizer, data).run();
}

}  // namespace aviary
