// Models whose matrices rest in a small type without ever having been in a file.
#pragma once

#include "models/model.h"

namespace aviary {

// Stores the matrices of a model as `type`, or as the type of quant/plan.h that goes with it, and lets
// them rest there: smaller and faster to run, no longer to be trained or saved.
void put_at_rest(Model& model, Dtype type);

}  // namespace aviary
