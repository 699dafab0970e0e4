// Models of random weights, to measure speed without a file.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "models/model.h"

namespace aviary {

// "rwkv7:1.5B" or "rwkv7:24x2048" (layers x width): the sizes of that version's published models, or others.
// Throws Error that lists the names.
ModelConfig parse_model_size(const std::string& name, int64_t vocabulary = 65536);

// Its matrices are stored as `type`, or the type of quant/plan.h that goes with it, and packed for
// products of `precision` (default: usual_precision); vectors start as in training. The numbers of all
// matrices are the same few over and over.
std::unique_ptr<Model> make_random_model(const ModelConfig& config, Dtype type,
                                         std::optional<kernels::Precision> precision = {});

}  // namespace aviary
