// aviary train --plan.
#pragma once

#include "train/trainer.h"

namespace aviary::cli {

// Tells how long a run would take, or how many steps it would have, from real steps of `trainer`, whose
// weights change by them; it must not be used for a run afterwards. `used_seconds`: what was done before,
// which the run has to do, too.
void tell_plan(Trainer& trainer, double used_seconds);

}  // namespace aviary::cli
