// aviary train --plan.
#pragma once

#include <memory>
#include <optional>

#include "train/exchange_time.h"
#include "train/trainer.h"

namespace aviary::cli {

// Machines as this one, each with one process.
struct PlannedMachines {
  int64_t count = 1;
  std::optional<Link> link = {};  // between them; none: the time of exchanges is not counted
  int64_t local_steps = 0;        // TrainConfig::local_steps
};

struct PlannedRun {
  int64_t steps = 0;
  double seconds_per_step = 0;  // of this machine alone
};

// Tells how long a run would take on this machine or on several, or how many steps it would have, from real
// steps of `trainer`, whose weights change by them; it must not be used for a run afterwards. `used_seconds`:
// what was done before, which the run has to do, too.
PlannedRun tell_plan(Trainer& trainer, double used_seconds, const PlannedMachines& machines);

// Tells what that run would reach, from two short ones on this machine. Returns the exit code.
int tell_forecast(const TrainConfig& config, const TokenizerPtr& tokenizer,
                  const std::shared_ptr<const TrainingData>& data, const PlannedRun& run);

}  // namespace aviary::cli
