#include "compare/sweep.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "compare/ledger.h"
#include "compare/results.h"
#include "models/registry.h"
#include "train/log.h"
#include "train/run_folder.h"
#include "train/session.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* result_file = "sweep-result.json";

// 97.5 % quantiles of Student's t by degrees of freedom, from 1 on; beyond, that of the normal distribution.
constexpr double student[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                              2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086};
constexpr double normal = 1.96;

constexpr std::pair<const char*, double SweepResult::*> figures[] = {
    {"validation_bits_per_byte", &SweepResult::validation},
    {"test_bits_per_byte", &SweepResult::test},
    {"average_bits_per_byte", &SweepResult::validation_of_average},
    {"training_loss", &SweepResult::training_loss},
    {"seconds_per_step", &SweepResult::seconds_per_step}};
constexpr std::pair<const char*, int64_t SweepResult::*> counts[] = {
    {"steps", &SweepResult::steps},
    {"tokens_per_step", &SweepResult::tokens_per_step},
    {"parameters", &SweepResult::parameters}};

void write_result(const fs::path& folder, const SweepResult& result) {
  Json json;
  for (const auto& [name, member] : figures)
    if (std::isfinite(result.*member)) json[name] = result.*member;
  for (const auto& [name, member] : counts) json[name] = result.*member;
  write_file_atomically(folder / result_file, json.dump(2) + "\n");
}

SweepResult result_of(const SweepRun& run, Trainer& trainer) {
  const MemberResult member{.member = {},
                            .config = trainer.config(),
                            .plan = {},
                            .cost = {},
                            .log = read_log(run.folder),
                            .measures = {}};
  SweepResult result{.validation = member.validation_bits_per_byte(),
                     .training_loss = member.training_loss(),
                     .seconds_per_step =
                         static_cast<double>(trainer.config().tokens_per_step()) / member.tokens_per_second(),
                     .steps = trainer.steps_done(),
                     .tokens_per_step = trainer.config().tokens_per_step(),
                     .parameters = trainer.model().parameters().count()};
  if (!member.log.empty() && member.log.back().average_bits_per_byte >= 0)
    result.validation_of_average = member.log.back().average_bits_per_byte;
  if (run.test) result.test = run.test(trainer);
  return result;
}

}  // namespace

std::optional<SweepResult> read_sweep_result(const fs::path& folder) {
  const fs::path path = folder / result_file;
  if (!fs::exists(path)) return {};
  const Json json = parse_ordered_json(read_file(path, 1 << 16), path.string());
  SweepResult result;
  try {
    for (const auto& [name, member] : figures) result.*member = json.value(name, not_measured);
    for (const auto& [name, member] : counts) result.*member = json.at(name);
  } catch (const Json::exception&) {
    fail("{}: not the result of a run; remove it to measure again", path.string());
  }
  return result;
}

namespace {

// A run by minutes finds out how many steps it takes, and goes on with these.
void take_found(const TrainConfig& there, TrainConfig& config) {
  if (config.minutes <= 0 || there.minutes != config.minutes) return;
  config.schedule.steps = there.schedule.steps;
  config.schedule.corrections = there.schedule.corrections;
  if (config.schedule.fit_warmup) {
    config.schedule.warmup = there.schedule.warmup;
    config.schedule.fit_warmup = there.schedule.fit_warmup;
  }
}

// The settings of a run, those of the one in its folder if that has a checkpoint. Throws Error if they are
// others than those that are asked for.
TrainConfig settings_of(const SweepRun& run) {
  TrainConfig config = run.config;
  config.model = complete(config.model);
  if (!is_run(run.folder)) return config;
  const TrainConfig there = read_run_config(run.folder);
  take_found(there, config);
  const std::string differs = difference(to_json(there), to_json(config));
  require(differs.empty(), "{}: there is a run with other settings ({}); name another folder with --out",
          run.folder.string(), differs);
  return config;
}

}  // namespace

SweepEnd run_of_sweep(const SweepRun& run) {
  if (read_sweep_result(run.folder)) return settings_of(run), SweepEnd::finished;
  make_folders(run.folder);
  const std::optional<RunFolder> held = RunFolder::try_hold(run.folder);
  if (!held) return SweepEnd::held_elsewhere;
  const TrainConfig config = settings_of(run);
  Trainer trainer(config, new_model(config), run.tokenizer, run.data);
  if (is_run(run.folder)) {
    trainer.load(run.folder);
  } else {
    require(can_begin(run.folder), "{}: there are files of something else; name another folder with --out",
            run.folder.string());
    write_run_config(run.folder, trainer.config());
  }
  const SessionOptions session{.folder = run.folder,
                               .sample_prompt = "",
                               .label = run.label,
                               .tell_validation = false,
                               .out = run.out};
  if (!trainer.finished() && run_session(trainer, session) == SessionEnd::interrupted)
    return SweepEnd::interrupted;
  write_result(run.folder, result_of(run, trainer));
  return SweepEnd::finished;
}

MeanOf mean_of(std::span<const double> numbers) {
  MeanOf result{.count = std::ssize(numbers)};
  if (numbers.empty()) return result;
  const double count = static_cast<double>(numbers.size());
  double sum = 0, squares = 0;
  for (double number : numbers) sum += number;
  result.mean = sum / count;
  if (numbers.size() < 2) return result;
  for (double number : numbers) squares += (number - result.mean) * (number - result.mean);
  const size_t freedom = numbers.size() - 1;
  const double quantile = freedom <= std::size(student) ? student[freedom - 1] : normal;
  result.half = quantile * std::sqrt(squares / (count - 1) / count);
  return result;
}

MeanOf mean_of(const SweepVariant& variant, double SweepResult::*figure) {
  std::vector<double> numbers;
  for (const auto& result : variant.results)
    if (result && std::isfinite((*result).*figure)) numbers.push_back((*result).*figure);
  return mean_of(numbers);
}

MeanOf difference_of(const SweepVariant& variant, const SweepVariant& base, double SweepResult::*figure) {
  std::vector<double> numbers;
  for (size_t i = 0; i < std::min(variant.results.size(), base.results.size()); ++i) {
    const auto &one = variant.results[i], &other = base.results[i];
    if (!one || !other) continue;
    const double more = (*one).*figure - (*other).*figure;
    if (std::isfinite(more)) numbers.push_back(more);
  }
  return mean_of(numbers);
}

}  // namespace aviary
