// The frequencies of rotary embeddings: constants that the original trainer of RWKV-1's attention models
// stores with the parameters; the head size is recognized from them.
#pragma once

#include <cmath>

#include "models/parameters.h"

namespace aviary {

inline std::string rotary_frequencies_name(const std::string& attn) { return attn + "rotary_emb.inv_freq"; }

// Half of the columns of a head are rotated, in pairs: frequency i is 10000^(-2 i / (head_size / 2)).
inline ParameterSpec rotary_frequencies(const std::string& attn, int64_t head_size) {
  auto frequency = [=](int64_t i) {
    return std::pow(10000.0f, -4 * static_cast<float>(i) / static_cast<float>(head_size));
  };
  return {.name = rotary_frequencies_name(attn),
          .use = Use::vector,
          .shape = {head_size / 4},
          .initialize = init::each(frequency),
          .constant = true};
}

inline int64_t head_size_of(const Shape& frequencies) { return 4 * frequencies.count(); }

}  // namespace aviary
