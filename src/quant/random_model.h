// Models with random weights, for measuring speed without a file.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "models/model.h"

namespace aviary {

// "rwkv7:1.5B" or "rwkv7:24x2048" (layers x width): the sizes of the published models of that version, or
// given sizes. Throws Error with a list of the names.
ModelConfig parse_model_size(const std::string& name, int64_t vocabulary = 65536);

// Its matrices are stored weights of `type`, or of the type that quant/plan.h chooses instead, packed for
// products of `precision` (default: usual_precision); vectors are initialized as for training. All matrices
// repeat the same few numbers.
std::unique_ptr<Model> make_random_model(const ModelConfig& config, Dtype type,
                                         std::optional<kernels::Precision> precision = {});

}  // namespace aviary
