#include "train/forecast.h"

#include <algorithm>
#include <cmath>

namespace aviary {
namespace {

// Half of the interval, in parts of the bits per byte, for each doubling from the longer trial to the run.
constexpr double spread_of_doubling = 0.006;

constexpr double shortest_share = 1.0 / 32;  // of the steps of a run
constexpr int64_t fewest_trial_steps = 25;  // of a trial: the first ones only find out which tokens there are

}  // namespace

Forecast forecast(const TrialRun& shorter, const TrialRun& longer, int64_t steps) {
  const double ratio = static_cast<double>(longer.steps) / static_cast<double>(shorter.steps);
  const double reach = static_cast<double>(steps) / static_cast<double>(longer.steps);
  const double learned = std::max(0.0, shorter.bits_per_byte - longer.bits_per_byte);
  const double more =
      learned * (1 - std::pow(reach, -forecast_exponent)) / (std::pow(ratio, forecast_exponent) - 1);
  const double result = longer.bits_per_byte - more;
  const double spread = result * spread_of_doubling * std::log2(std::max(reach, 1.0));
  return {.bits_per_byte = result, .low = result - spread, .high = result + spread};
}

std::optional<TrialSteps> trial_steps(int64_t steps, double seconds, double limit) {
  auto shorter = static_cast<int64_t>(static_cast<double>(steps) * shortest_share);
  shorter = std::min(shorter, static_cast<int64_t>(limit / (3 * seconds)));
  if (shorter < fewest_trial_steps) return {};
  return TrialSteps{.shorter = shorter, .longer = 2 * shorter};
}

std::optional<TrialRun> trial_run(TrainConfig config, int64_t steps, const TokenizerPtr& tokenizer,
                                  const std::shared_ptr<const TrainingData>& data,
                                  const std::function<bool()>& report) {
  config.minutes = 0;
  config.schedule.fit_warmup = true;
  config.schedule.set_steps(steps, 0);
  Trainer trainer(config, new_model(config), tokenizer, data);
  while (!trainer.finished()) {
    trainer.step();
    if (!report()) return {};
  }
  return TrialRun{.steps = steps, .bits_per_byte = trainer.validate()};
}

}  // namespace aviary
