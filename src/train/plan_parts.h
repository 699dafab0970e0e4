// What the plans of a new model and of one that is tuned have in common.
#pragma once

#include "train/plan.h"

namespace aviary {

// Rejects given settings that would have no effect.
void refuse_what_would_be_ignored(const Asked& asked, const TrainConfig& config);
// Takes the usual warm-up from a run that is too short for it. Rejects a given one that is.
void fit_warmup(const Asked& asked, TrainConfig& config);

}  // namespace aviary
