// Larger models from smaller ones.
#pragma once

#include <memory>

#include "models/model.h"

namespace aviary {

// What new blocks are.
enum class Deepening : uint8_t {
  identity,  // each block is followed by copies of itself that add nothing to the stream yet
  stack,     // the blocks once more, in their order (Du et al. 2024, arXiv 2405.15319): another function
};
// Throws Error for an unknown name.
Deepening deepening(const std::string& name);

struct Growth {
  int64_t layers = 0, width = 0;  // of the larger model; 0: as before
  Deepening how = Deepening::identity;
  double noise = 0;  // relative, normal: otherwise the copies of a channel stay equal in training
  uint64_t seed = 1;
};

// A larger model of the same version, with the same head size and ranks. It is k times as wide: every channel
// and every head is there k times, and what is multiplied is divided by k (Chen et al. 2016, arXiv
// 1511.05641), so that the norms and the products give what they gave. Without noise and with
// Deepening::identity it computes the same function. Throws Error if the width is no multiple, or the model
// would be smaller, or the version cannot be grown so.
std::unique_ptr<Model> grown(Model& model, const Growth& growth);

// A new model of another size whose vectors of the blocks (decays, mixes, norms) are those of `model`, as in
// the first trainer of RWKV: sorted, smoothed over a sixteenth of their length, and interpolated over layers
// and channels. All matrices are new.
std::unique_ptr<Model> transferred(Model& model, int64_t layers, int64_t width, uint64_t seed);

// The largest difference of the logits of some random tokens, divided by the largest logit.
double difference_of_logits(Model& one, Model& other);

}  // namespace aviary
