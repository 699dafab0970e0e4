// Vectors from the state of a model after a text.
#pragma once

#include <vector>

#include "embed/options.h"
#include "models/state.h"

namespace aviary {

// The numbers of one feature of states (EmbeddingOptions), one layer after another.
std::vector<double> state_features(const State& state, Feature feature, std::span<const int64_t> layers);

}  // namespace aviary
