// What a run will reach, from short runs with the same settings: for planning.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "train/trainer.h"

namespace aviary {

// A run that was trained to its end.
struct TrialRun {
  int64_t steps = 0;
  double bits_per_byte = 0;  // of the validation part of its data
};

struct Forecast {
  double bits_per_byte = 0;
  double low = 0, high = 0;  // where it most likely is
};

// What a run of `steps` steps reaches, from two shorter ones, of which one has twice the steps of the other.
// The rule was found in runs on three texts, and tried on a fourth (docs/recipes.md, "Knowing the end"): each
// further doubling of the steps gains a certain part of what the one before has gained, the smaller a part
// the larger the gain of the doubling that was tried. It does not foresee that a text teaches less when it is
// read again.
Forecast forecast(const TrialRun& shorter, const TrialRun& longer, int64_t steps);

// Of a trial run: the first steps only find out which tokens there are.
inline constexpr int64_t fewest_trial_steps = 25;

// The steps of the two trial runs for a run of `steps` steps, of which a step takes `seconds`: a
// thirty-second and a sixteenth of them, less where these would take longer than `limit` seconds. Nothing if
// the shorter one would have fewer than fewest_trial_steps.
struct TrialSteps {
  int64_t shorter = 0, longer = 0;
};
std::optional<TrialSteps> trial_steps(int64_t steps, double seconds, double limit);

// Trains a new model by `config` for so many steps, with a schedule of that length, and validates it.
// `report` is called after every step and returns whether to go on; nothing if it did not.
std::optional<TrialRun> trial_run(TrainConfig config, int64_t steps, const TokenizerPtr& tokenizer,
                                  const std::shared_ptr<const TrainingData>& data,
                                  const std::function<bool()>& report);

}  // namespace aviary
