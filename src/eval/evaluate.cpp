#include "eval/evaluate.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "base/error.h"

namespace aviary {
namespace {

constexpr int64_t window_rows_at_once = 2048;  // of several windows

// `nats` for the prediction of `targets`.
void add(Evaluation& sums, double nats, std::span<const int32_t> targets, const Tokenizer& tokenizer) {
  sums.nats += nats;
  sums.tokens += std::ssize(targets);
  for (int32_t token : targets) sums.bytes += std::ssize(tokenizer.bytes_of(token));
}

void require_finite(double loss, int64_t tokens) {
  require(std::isfinite(loss), "evaluate: the loss is {} after {} tokens: the model is broken", loss, tokens);
}

// Reads the windows [begins[i], ends[i]) as sequences of one pass, each from the state `start` (null: the
// initial one). losses: one per row.
void run_windows(Runner& runner, std::span<const int32_t> text, std::span<const int64_t> begins,
                 std::span<const int64_t> ends, const State* start, std::vector<double>& losses) {
  Sequences sequences;
  std::vector<int32_t> tokens, targets;
  for (size_t i = 0; i < begins.size(); ++i) {
    sequences.append(ends[i] - begins[i]);
    tokens.insert(tokens.end(), text.begin() + begins[i], text.begin() + ends[i]);
    targets.insert(targets.end(), text.begin() + begins[i] + 1, text.begin() + ends[i] + 1);
  }
  losses.resize(tokens.size());
  std::vector<State> states =
      start ? std::vector<State>(begins.size(), *start) : runner.new_states(sequences.count());
  require_finite(runner.loss(tokens, targets, sequences, states, losses), begins.front());
}

Evaluation evaluate_whole(Runner& runner, std::span<const int32_t> tokens, const Tokenizer& tokenizer,
                          const EvaluateOptions& options) {
  Evaluation result;
  State state = options.start ? *options.start : runner.new_state();
  const int64_t total = std::ssize(tokens) - 1;
  for (int64_t begin = 0; begin < total; begin += options.chunk) {
    const int64_t rows = std::min(options.chunk, total - begin);
    const auto from = static_cast<size_t>(begin), count = static_cast<size_t>(rows);
    const auto targets = tokens.subspan(from + 1, count);
    const double loss = runner.loss(tokens.subspan(from, count), targets, Sequences::uniform(1, rows), state);
    require_finite(loss, begin);
    add(result, loss * static_cast<double>(rows), targets, tokenizer);
    if (options.progress && !options.progress(result.tokens)) break;
  }
  return result;
}

Evaluation evaluate_windows(Runner& runner, std::span<const int32_t> tokens, const Tokenizer& tokenizer,
                            const EvaluateOptions& options) {
  Evaluation result;
  const int64_t total = std::ssize(tokens) - 1;
  std::vector<double> losses;
  for (int64_t at = 0; at < total;) {
    std::vector<int64_t> begins, ends;
    do {
      begins.push_back(at);
      at = std::min(at + options.window, total);
      ends.push_back(at);
    } while (at < total && at - begins.front() + options.window <= window_rows_at_once);
    run_windows(runner, tokens, begins, ends, options.start, losses);
    add(result, std::accumulate(losses.begin(), losses.end(), 0.0),
        tokens.subspan(static_cast<size_t>(begins.front()) + 1, losses.size()), tokenizer);
    if (options.progress && !options.progress(result.tokens)) break;
  }
  return result;
}

}  // namespace

double Evaluation::loss() const { return tokens ? nats / static_cast<double>(tokens) : 0; }
double Evaluation::perplexity() const { return std::exp(loss()); }
double Evaluation::bits_per_byte() const {
  return bytes ? nats / std::numbers::ln2 / static_cast<double>(bytes) : 0;
}

Evaluation evaluate(Runner& runner, std::span<const int32_t> tokens, const Tokenizer& tokenizer,
                    const EvaluateOptions& options) {
  require(tokens.size() >= 2, "evaluate: the text has {} tokens, at least 2 are needed", tokens.size());
  return options.window > 0 ? evaluate_windows(runner, tokens, tokenizer, options)
                            : evaluate_whole(runner, tokens, tokenizer, options);
}

double PositionLoss::mean(int64_t begin, int64_t end) const {
  double sum = 0;
  for (int64_t t = begin; t < end; ++t) sum += nats[static_cast<size_t>(t)];
  return sum / static_cast<double>(end - begin);
}

PositionLoss loss_by_position(Runner& runner, std::span<const int32_t> tokens, int64_t length, int64_t most,
                              const std::function<bool(int64_t)>& progress, const State* start) {
  const int64_t room = static_cast<int64_t>(tokens.size()) - 1 - length;  // of the first token of a window
  require(length >= 1 && most >= 1 && room >= 0,
          "loss by position: the text has {} tokens, more than {} are needed", tokens.size(), length);
  const int64_t windows = std::min(most, room + 1),
                at_once = std::max<int64_t>(1, window_rows_at_once / length);
  PositionLoss result{.nats = std::vector<double>(static_cast<size_t>(length))};
  std::vector<double> losses;
  while (result.windows < windows) {
    std::vector<int64_t> begins, ends;
    for (int64_t i = result.windows; i < std::min(windows, result.windows + at_once); ++i) {
      begins.push_back(windows > 1 ? i * room / (windows - 1) : 0);
      ends.push_back(begins.back() + length);
    }
    run_windows(runner, tokens, begins, ends, start, losses);
    for (size_t i = 0; i < losses.size(); ++i) result.nats[i % result.nats.size()] += losses[i];
    result.windows += std::ssize(begins);
    if (progress && !progress(result.windows)) break;
  }
  for (double& value : result.nats) value /= static_cast<double>(result.windows);
  return result;
}

}  // namespace aviary
