#include "embed/state_features.h"

#include <cmath>
#include <string>

#include "base/random.h"

namespace aviary {
namespace {

// [heads, rows, cols] -> per head the lengths of its rows, then those of its columns.
void append_norms(const Tensor& matrices, std::vector<double>& features) {
  const std::vector<double> values = to_host(matrices);
  const auto rows = static_cast<size_t>(matrices.shape()[1]), cols = static_cast<size_t>(matrices.shape()[2]);
  for (size_t head = 0; head < values.size(); head += rows * cols) {
    std::vector<double> of_rows(rows), of_cols(cols);
    for (size_t r = 0; r < rows; ++r)
      for (size_t c = 0; c < cols; ++c) {
        const double square = values[head + r * cols + c] * values[head + r * cols + c];
        of_rows[r] += square;
        of_cols[c] += square;
      }
    for (const double square : of_rows) features.push_back(std::sqrt(square));
    for (const double square : of_cols) features.push_back(std::sqrt(square));
  }
}

// projection_width sums of all numbers with random signs, divided by the root of projection_width, which
// keeps lengths and angles nearly as they are (Achlioptas 2003). The signs depend on the place alone.
void append_projection(const Tensor& matrices, std::vector<double>& features) {
  const std::vector<double> values = to_host(matrices);
  const size_t begin = features.size();
  features.resize(begin + static_cast<size_t>(projection_width));
  constexpr uint64_t seed = 20260101, bits = 64;
  const double scale = 1 / std::sqrt(static_cast<double>(projection_width));
  Random random(seed);
  for (const double value : values)
    for (uint64_t sum = 0; sum < static_cast<uint64_t>(projection_width); sum += bits) {
      const uint64_t signs = random.next();
      for (uint64_t bit = 0; bit < bits; ++bit)
        features[begin + sum + bit] += (signs >> bit & 1) != 0 ? value * scale : -value * scale;
    }
}

// The sums aa and bb of RWKV-2 to 4 share the factor exp(pp), which their quotient, an average of values,
// loses.
void append_average(const Tensor& aa, const Tensor& bb, std::vector<double>& features) {
  const std::vector<double> sums = to_host(aa), weights = to_host(bb);
  for (size_t i = 0; i < sums.size(); ++i) features.push_back(weights[i] > 0 ? sums[i] / weights[i] : 0);
}

void append_vectors(const State& state, size_t part, std::vector<double>& features) {
  const std::vector<StateSpec>& specs = state.layout().specs();
  if (specs[part].kind == StateKind::shift) {
    const std::vector<double> values = to_host(state[part]);
    features.insert(features.end(), values.begin(), values.end());
  } else if (specs[part].name.ends_with("att.aa")) {
    append_average(state[part], state[part + 1], features);
  }
}

}  // namespace

std::vector<double> state_features(const State& state, Feature feature, std::span<const int64_t> layers) {
  std::vector<double> features;
  const std::vector<StateSpec>& specs = state.layout().specs();
  for (const int64_t layer : layers) {
    const std::string prefix = "blocks." + std::to_string(layer - 1) + ".";
    for (size_t part = 0; part < specs.size(); ++part) {
      if (!specs[part].name.starts_with(prefix)) continue;
      const bool matrices = specs[part].kind == StateKind::recurrence && specs[part].shape.rank() == 3;
      if (feature == Feature::state_vectors)
        append_vectors(state, part, features);
      else if (matrices && feature == Feature::state_norms)
        append_norms(state[part], features);
      else if (matrices)
        append_projection(state[part], features);
    }
  }
  return features;
}

}  // namespace aviary
