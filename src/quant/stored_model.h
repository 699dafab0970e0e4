// Models whose matrices are stored in a small type without having been in a file.
#pragma once

#include <optional>

#include "models/model.h"

namespace aviary {

// Converts the matrices of a model to stored weights of `type`, or of the type that quant/plan.h chooses
// instead, and packs them for products of `precision` (default: usual_precision): the model is smaller and
// runs faster, but can no longer be trained or saved.
void store_matrices(Model& model, Dtype type, std::optional<kernels::Precision> precision = {});

}  // namespace aviary
