#include "train/not_finite.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/quotes.h"

namespace aviary {
namespace {

// The index of the first number that is not finite; -1: all are.
int64_t first_in(const Tensor& tensor) {
  auto find = [&](const auto* numbers) {
    const auto* end = numbers + tensor.count();
    const auto* found = std::find_if(numbers, end, [](auto x) { return !std::isfinite(x); });
    return found == end ? int64_t{-1} : found - numbers;
  };
  return tensor.dtype() == Dtype::f64 ? find(tensor.as<double>()) : find(tensor.as<float>());
}

double number_at(const Tensor& tensor, int64_t i) {
  return tensor.dtype() == Dtype::f64 ? tensor.as<double>()[i] : static_cast<double>(tensor.as<float>()[i]);
}

std::string place_name(int64_t place, int64_t blocks) {
  if (place == 0) return "the embedding";
  if (place > blocks) return "the rows before the output matrix";
  return fmt::format("the output of block {}", place - 1);
}

std::string token_name(int64_t row, const Batch& batch, const Tokenizer& tokenizer) {
  int64_t sequence = 0;
  while (row >= batch.sequences.end(sequence)) ++sequence;
  const int32_t token = batch.tokens[static_cast<size_t>(row)];
  return fmt::format("token {} of sequence {} (\"{}\")", row - batch.sequences.begin(sequence), sequence,
                     for_terminal(tokenizer.decode(std::span(&token, 1))));
}

}  // namespace

std::optional<std::string> first_not_finite(Runner& runner, const Batch& batch, StateSpan states,
                                            const Tokenizer& tokenizer) {
  for (const Parameter& parameter : runner.model().parameters()) {
    const Tensor value = parameter.weight.value();
    if (value.empty()) continue;
    if (const int64_t i = first_in(value); i >= 0)
      return fmt::format("the weight {} has {} as number {}", parameter.spec.name, number_at(value, i), i);
  }
  const int64_t blocks = runner.model().config().n_layer;
  std::vector<int64_t> places;
  for (int64_t place = 0; place <= blocks + 1; ++place) places.push_back(place);
  std::optional<std::string> found;
  runner.read_rows(batch.tokens, batch.sequences, states, places, [&](int64_t place, const Tensor& rows) {
    const int64_t i = found ? -1 : first_in(rows);
    if (i < 0) return;
    found = fmt::format("{} has {} in channel {} at {}", place_name(place, blocks), number_at(rows, i),
                        i % rows.cols(), token_name(i / rows.cols(), batch, tokenizer));
  });
  return found;
}

}  // namespace aviary
