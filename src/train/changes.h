// Settings that change in mid-run: batch size, betas, momentum, decay.
#pragma once

#include "train/config.h"

namespace aviary {

// The config with the settings that step `step` (from 0) has. A change at the share s of the run holds from
// step s * steps on, rounded down; while the number of steps is unknown, none holds.
TrainConfig config_at(const TrainConfig& config, int64_t step);
// The passes of all steps before this one: sum of `accumulate`.
int64_t passes_before(const TrainConfig& config, int64_t step);
// The factor of the weight decay at a step, from TrainConfig::final_weight_decay.
double weight_decay_scale(const TrainConfig& config, int64_t step);
// Throws Error for a change that is none: an unknown name, a share outside of (0, 1), a value out of bounds.
void check_changes(const TrainConfig& config);

}  // namespace aviary
