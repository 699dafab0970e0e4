// How long the channels of a model remember by themselves: half-lives from the tensors of its file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/tensor_file.h"

namespace aviary {

struct LayerDecay {
  int64_t layer = 0;
  std::string tensor = {};  // where the numbers come from
  // Tokens after which half is left, per channel or head; infinite where nothing is forgotten.
  std::vector<float> half_lives = {};
};

struct DecayAtlas {
  std::vector<LayerDecay> layers;  // none for a version without decays
  std::string note = {};           // what the numbers mean for this version, a sentence
};

// A decay is e^(-e^x) per token for RWKV-2 to 6 (x: time_decay; in RWKV-6 a token adds to x), and
// e^(-e^(-1/2) sigmoid(x)) for RWKV-7 (x: w0, to which a token adds; arXiv 2503.14456, equation 13). RWKV-1
// has learned curves over the distance instead (time_w): the half-life is the distance at which a curve has
// fallen to half of its largest value.
DecayAtlas decay_atlas(const TensorFile& file);

}  // namespace aviary
