#include "page/decay.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "train/update_rule.h"

namespace aviary {
namespace {

using Rule = std::vector<float> (*)(const TensorEntry& tensor);

std::vector<float> numbers_of(const TensorEntry& tensor) {
  std::vector<float> numbers(static_cast<size_t>(count_of(tensor)));
  to_floats(tensor, numbers);
  return numbers;
}

std::vector<float> exponential(const TensorEntry& tensor) {
  std::vector<float> lives = numbers_of(tensor);
  for (float& x : lives) x = static_cast<float>(std::numbers::ln2 / std::exp(static_cast<double>(x)));
  return lives;
}

std::vector<float> sigmoid(const TensorEntry& tensor) {
  std::vector<float> lives = numbers_of(tensor);
  for (float& x : lives) {
    const double rate = std::exp(-0.5) / (1 + std::exp(-static_cast<double>(x)));
    x = static_cast<float>(std::numbers::ln2 / rate);
  }
  return lives;
}

// Rows [H, L]: the last number of a row is the weight of the token itself.
std::vector<float> curves(const TensorEntry& tensor) {
  const std::vector<float> numbers = numbers_of(tensor);
  const auto length = static_cast<size_t>(tensor.shape.back());
  std::vector<float> lives;
  for (size_t row = 0; length > 0 && row < numbers.size() / length; ++row) {
    const float* curve = numbers.data() + row * length;
    const float half = *std::max_element(curve, curve + length) / 2;
    size_t distance = static_cast<size_t>(std::max_element(curve, curve + length) - curve);
    const size_t peak = distance;
    while (distance > 0 && curve[distance] > half) --distance;
    lives.push_back(curve[distance] > half ? std::numeric_limits<float>::infinity()
                                           : static_cast<float>(peak - distance));
  }
  return lives;
}

struct Kind {
  const char* end;  // of the tensor's name
  Rule rule;
  const char* note;
};
constexpr Kind kinds[] = {
    {".att.w0", sigmoid,
     "RWKV-7 forgets at rates that a token chooses: shown is what it adds to. No channel forgets more than a "
     "factor of 0.545 per token by itself; in addition, tokens remove what they replace."},
    {".time_decay", exponential,
     "The decay per token is e^(-e^x) of the learned numbers x; in RWKV-6 each token adds to x, and shown is "
     "what it adds to."},
    {".time_w", curves,
     "Learned curves over the distance: shown is where a head's curve has fallen to half of its top."},
};

}  // namespace

DecayAtlas decay_atlas(const TensorFile& file) {
  DecayAtlas atlas;
  for (const Kind& kind : kinds) {
    for (const TensorEntry& tensor : file.tensors()) {
      const int64_t layer = layer_of(tensor.name);
      if (layer < 0 || !tensor.name.ends_with(kind.end) || tensor.shape.empty()) continue;
      atlas.layers.push_back({.layer = layer, .tensor = tensor.name, .half_lives = kind.rule(tensor)});
    }
    if (atlas.layers.empty()) continue;
    atlas.note = kind.note;
    break;
  }
  std::stable_sort(atlas.layers.begin(), atlas.layers.end(),
                   [](const auto& a, const auto& b) { return a.layer < b.layer; });
  return atlas;
}

}  // namespace aviary
