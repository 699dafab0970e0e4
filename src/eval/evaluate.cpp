#include "eval/evaluate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace aviary {

double Evaluation::loss() const { return tokens ? nats / static_cast<double>(tokens) : 0; }
double Evaluation::perplexity() const { return std::exp(loss()); }
double Evaluation::bits_per_byte() const {
  return bytes ? nats / std::numbers::ln2 / static_cast<double>(bytes) : 0;
}

Evaluation evaluate(Runner& runner, std::span<const int32_t> tokens, const Tokenizer& tokenizer,
                    const std::function<bool(int64_t)>& progress, int64_t chunk) {
  require(tokens.size() >= 2, "evaluate: the text has {} tokens, at least 2 are needed", tokens.size());
  Evaluation result;
  for (int32_t token : tokens) result.bytes += static_cast<int64_t>(tokenizer.bytes_of(token).size());
  State state = runner.new_state();
  const int64_t total = static_cast<int64_t>(tokens.size()) - 1;
  for (int64_t begin = 0; begin < total; begin += chunk) {
    const int64_t rows = std::min(chunk, total - begin);
    const auto from = static_cast<size_t>(begin), count = static_cast<size_t>(rows);
    const double loss = runner.loss(tokens.subspan(from, count), tokens.subspan(from + 1, count),
                                    Sequences::uniform(1, rows), state);
    require(std::isfinite(loss), "evaluate: the loss is {} after {} tokens: the model is broken", loss,
            begin);
    result.nats += loss * static_cast<double>(rows);
    result.tokens += rows;
    if (progress && !progress(begin + rows)) break;
  }
  return result;
}

}  // namespace aviary
