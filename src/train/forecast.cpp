#include "train/forecast.h"

#include <algorithm>
#include <cmath>

namespace aviary {
namespace {

// After a doubling that has lowered the bits per byte by the part g, four further ones lower it by the part
// scale * g^power.
constexpr double scale = 0.847, power = 0.459;
constexpr double doublings_of_rule = 4;
// Half of the interval, in parts of the bits per byte, for each doubling.
constexpr double spread_of_doubling = 0.012;

constexpr double shortest_share = 1.0 / 32;  // of the steps of a run

// q + q^2 + ... + q^n, for any n >= 0.
double sum_of_powers(double q, double n) { return q > 1 - 1e-6 ? n : q * (1 - std::pow(q, n)) / (1 - q); }

// The q, at most 1, of which sum_of_powers(q, n) is `sum`.
double ratio_of_sum(double sum, double n) {
  double low = 0, high = 1;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (sum_of_powers(middle, n) < sum ? low : high) = middle;
  }
  return high;
}

}  // namespace

Forecast forecast(const TrialRun& shorter, const TrialRun& longer, int64_t steps) {
  const double doublings =
      std::max(0.0, std::log2(static_cast<double>(steps) / static_cast<double>(longer.steps)));
  const double gained = std::max(0.0, shorter.bits_per_byte - longer.bits_per_byte);
  const double part = gained / longer.bits_per_byte;
  double more = 0;
  if (part > 0) {
    const double in_rule = std::min(doublings_of_rule, scale * std::pow(part, power) / part);
    more = gained * sum_of_powers(ratio_of_sum(in_rule, doublings_of_rule), doublings);
  }
  const double result = longer.bits_per_byte - more;
  const double spread = result * spread_of_doubling * doublings;
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
