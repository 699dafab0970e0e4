#include "cli/train_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "base/platform.h"
#include "base/progress.h"
#include "train/forecast.h"
#include "train/session.h"

namespace aviary::cli {
namespace {

constexpr double share_of_time = 0.05, least_seconds = 2, most_seconds = 20;  // of measuring
constexpr int64_t fewest_steps = 5;
constexpr double validations = 20, most_validating = 0.05;   // of a session on the way; of the time
constexpr double most_trial_seconds = 180, most_passes = 3;  // of both trials; over the text

template <typename Work>
double seconds_taken_by(Work work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

struct Measured {
  double step = 0, validation = 0, last_validation = 0;  // seconds
};

Measured measure_steps(Trainer& trainer) {
  const TrainConfig& config = trainer.config();
  const double minutes = config.schedule.steps ? 1 : config.minutes;
  const double enough = std::clamp(minutes * 60 * share_of_time, least_seconds, most_seconds);
  Measured measured;
  measured.step = seconds_taken_by([&] { trainer.step(); });  // slower than the others, if there are others
  int64_t steps = 0;
  double seconds = 0;
  while (!trainer.finished() && (steps < fewest_steps || seconds < enough)) {
    seconds += seconds_taken_by([&] { trainer.step(); });
    measured.step = seconds / static_cast<double>(++steps);
  }
  const int64_t on_the_way = SessionOptions{}.validation_tokens;
  measured.validation = seconds_taken_by([&] { trainer.validate(on_the_way); });
  const double all =
      static_cast<double>(trainer.data().validation_bytes()) / trainer.data().bytes_per_token();
  measured.last_validation = measured.validation * std::max(1.0, all / static_cast<double>(on_the_way));
  return measured;
}

// Seconds of a step of several machines that share the workers whose passes this one has made in turn.
struct SharedStep {
  double computing = 0, exchange = 0;
};

SharedStep share(const Trainer& trainer, double step, const PlannedMachines& machines) {
  SharedStep shared{.computing = step / static_cast<double>(machines.count)};
  const int64_t rounds = std::max<int64_t>(1, machines.local_steps);
  if (machines.link)
    shared.exchange = exchange_seconds(machines.count, trainer.trained_count(),
                                       trainer.config().rounded_sums ? 2 : 4, *machines.link) /
                      static_cast<double>(rounds);
  return shared;
}

}  // namespace

PlannedRun tell_plan(Trainer& trainer, double used_seconds, const PlannedMachines& machines) {
  Measured measured = measure_steps(trainer);
  const double here = measured.step;
  const SharedStep shared = share(trainer, here, machines);
  measured.step = shared.computing + shared.exchange;
  const TrainConfig& config = trainer.config();
  Schedule schedule = config.schedule;
  double seconds = used_seconds + measured.last_validation;
  if (schedule.steps) {
    seconds += measured.step * static_cast<double>(*schedule.steps) + measured.validation * validations;
  } else {
    const double time = config.minutes * 60;
    const double pauses = std::min(measured.validation * validations, most_validating * time);
    auto steps = static_cast<int64_t>(std::max(0.0, time - seconds - pauses) / measured.step);
    if (schedule.most_steps > 0) steps = std::min(steps, schedule.most_steps);
    schedule.set_steps(std::max<int64_t>(steps, 1), 0);
    seconds += pauses + measured.step * static_cast<double>(*schedule.steps);
  }
  const auto per_step = static_cast<double>(trainer.tokens_per_step());
  const double tokens = per_step * static_cast<double>(*schedule.steps);
  const std::string step = fmt::format("{}, that is {}", human_duration(measured.step),
                                       human_rate(per_step / measured.step, "tokens"));
  if (machines.count == 1)
    fmt::print("A step takes {}\n", step);
  else
    fmt::print(
        "On {} machines as this one a step takes {}: {} of computing and {} of exchange{}; here it takes {}, "
        "so "
        "they are {:.1f} times as fast\n",
        machines.count, step, human_duration(shared.computing), human_duration(shared.exchange),
        machines.link ? "" : " (give the line between them with --link)", human_duration(here),
        here / measured.step);
  fmt::print("About {} in {}: {} steps, {:.1f} times over the text\n", human_duration(seconds),
             human_bytes(platform::peak_memory()), with_commas(*schedule.steps),
             tokens / static_cast<double>(trainer.data().tokens()));
  fmt::print("The learning rate rises to {:g} in {} steps and ends at {:g} ({})\n", schedule.start,
             with_commas(schedule.warmup),
             schedule.kind == ScheduleKind::constant ? schedule.start : schedule.end, name_of(schedule.kind));
  return {.steps = *schedule.steps, .seconds_per_step = here};
}

int tell_forecast(const TrainConfig& config, const TokenizerPtr& tokenizer,
                  const std::shared_ptr<const TrainingData>& data, const PlannedRun& run) {
  const std::optional<TrialSteps> trials = trial_steps(run.steps, run.seconds_per_step, most_trial_seconds);
  require(trials.has_value(),
          "--forecast: the shorter trial, a thirty-second of the run and at most a minute, has fewer than {} "
          "steps, too few to tell; plan a longer run or a smaller model",
          fewest_trial_steps);
  fmt::print("Two short runs, of {} and {} steps, show how fast it learns this text\n",
             with_commas(trials->shorter), with_commas(trials->longer));
  std::fflush(stdout);
  InterruptGuard guard;
  const int64_t per_step = data->tokens_per_step(config);
  Progress progress(
      {.label = "try", .total = (trials->shorter + trials->longer) * per_step, .summary = false});
  int64_t done = 0;
  const auto report = [&] {
    progress.update(done += per_step);
    return !guard.interrupted();
  };
  const std::optional<TrialRun> shorter = trial_run(config, trials->shorter, tokenizer, data, report);
  const std::optional<TrialRun> longer =
      shorter ? trial_run(config, trials->longer, tokenizer, data, report) : std::nullopt;
  progress.finish();
  if (!longer) {
    fmt::print("Stopped; nothing is kept.\n");
    return interrupt_exit_code();
  }
  const Forecast end = forecast(*shorter, *longer, run.steps);
  fmt::print(
      "They reached {:.3f} and {:.3f} bits per byte of the validation text; the whole run should reach about "
      "{:.3f}, between {:.3f} and {:.3f}\n",
      shorter->bits_per_byte, longer->bits_per_byte, end.bits_per_byte, end.low, end.high);
  const double passes = static_cast<double>(run.steps * per_step) / static_cast<double>(data->tokens());
  if (passes > most_passes)
    fmt::print(
        "It would read the text {:.1f} times; what is read more than three times teaches less than this "
        "assumes\n",
        passes);
  return 0;
}

}  // namespace aviary::cli
