// Models whose matrices are stored in a small type without ever having been in a file.
#pragma once

#include <optional>

#include "models/model.h"

namespace aviary {

// Stores the matrices of a model as `type`, or as the type of quant/plan.h that goes with it, and packs
// them for products of `precision` (default: usual_precision): smaller and faster to run, no longer to be
// trained or saved.
void store_matrices(Model& model, Dtype type, std::optional<kernels::Precision> precision = {});

}  // namespace aviary
