#include "eval/scoring.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace aviary {
namespace {

constexpr int64_t rows_at_once = 2048, part_rows = 512;

void require_parts(const Continuation& parts) {
  require(!parts.context.empty(),
          "evaluate: a context has no tokens, and the tokenizer no end of text to begin with; name one with "
          "--begin-token");
  require(!parts.target.empty(), "evaluate: a text to predict has no tokens");
}

// Of one row of logits [V].
void add_row(std::span<const float> logits, int32_t target, Score& score) {
  require(target >= 0 && target < std::ssize(logits), "evaluate: the model has no token {}, only {}", target,
          logits.size());
  const auto top = std::max_element(logits.begin(), logits.end());
  const double highest = *top;
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - highest);
  score.log_likelihood += static_cast<double>(logits[static_cast<size_t>(target)]) - highest - std::log(sum);
  score.right += top - logits.begin() == target;
}

}  // namespace

Continuation joined(std::string_view context, std::string_view target, const Tokenizer& tokenizer,
                    std::optional<int32_t> begin) {
  const size_t kept = context.find_last_not_of(" \t\n\r\f\v") + 1;  // 0 if there is only white space
  const std::string whole = std::string(context) + std::string(target);
  std::vector<int32_t> of_context = tokenizer.encode(context.substr(0, kept)),
                       tokens = tokenizer.encode(whole);
  const auto cut = std::min(of_context.size(), tokens.size());
  if (!begin && cut == 0) begin = tokenizer.end_of_text();
  Continuation result;
  if (begin) result.context.push_back(*begin);
  const auto middle = tokens.begin() + static_cast<int64_t>(cut);
  result.context.insert(result.context.end(), tokens.begin(), middle);
  result.target.assign(middle, tokens.end());
  require_parts(result);
  return result;
}

Continuation apart(std::string_view context, std::string_view target, const Tokenizer& tokenizer,
                   std::optional<int32_t> begin) {
  Continuation result{.context = {}, .target = tokenizer.encode(target)};
  if (begin) result.context.push_back(*begin);
  tokenizer.encode(context, result.context);
  require_parts(result);
  return result;
}

namespace {

// A long continuation, in parts, so that neither its rows nor its logits need much memory.
Score score_alone(Runner& runner, const Continuation& parts) {
  Score result{.tokens = std::ssize(parts.target)};
  std::vector<int32_t> tokens = parts.context;
  tokens.insert(tokens.end(), parts.target.begin(), parts.target.end());
  State state = runner.new_state();
  const int64_t context = std::ssize(parts.context), last = std::ssize(tokens) - 1;
  for (int64_t begin = 0; begin < last; begin += part_rows) {
    const int64_t count = std::min(part_rows, last - begin);
    std::vector<int64_t> wanted;
    for (int64_t row = std::max<int64_t>(0, context - 1 - begin); row < count; ++row) wanted.push_back(row);
    const auto part = std::span(tokens).subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
    const Tensor logits = runner.logits(part, Sequences::uniform(1, count), state, wanted);
    const auto V = static_cast<size_t>(logits.cols());
    for (size_t i = 0; i < wanted.size(); ++i)
      add_row({logits.as<float>() + i * V, V}, tokens[static_cast<size_t>(begin + wanted[i] + 1)], result);
  }
  return result;
}

bool is_long(const Continuation& parts) {
  return std::ssize(parts.context) + std::ssize(parts.target) > rows_at_once ||
         std::ssize(parts.target) > part_rows;
}

// As many continuations as are read at once, from the first on; their scores.
std::vector<Score> score_some(Runner& runner, std::span<const Continuation> continuations) {
  if (is_long(continuations.front())) return {score_alone(runner, continuations.front())};
  Sequences sequences;
  std::vector<int32_t> tokens;
  std::vector<int64_t> wanted;
  size_t count = 0;
  do {
    const Continuation& next = continuations[count++];
    const int64_t before = std::ssize(tokens) + std::ssize(next.context) - 1;
    tokens.insert(tokens.end(), next.context.begin(), next.context.end());
    tokens.insert(tokens.end(), next.target.begin(), next.target.end() - 1);
    sequences.append(std::ssize(next.context) + std::ssize(next.target) - 1);
    for (int64_t i = 0; i < std::ssize(next.target); ++i) wanted.push_back(before + i);
  } while (count < continuations.size() && !is_long(continuations[count]) && std::ssize(wanted) < part_rows &&
           std::ssize(tokens) + std::ssize(continuations[count].context) < rows_at_once);
  std::vector<State> states = runner.new_states(sequences.count());
  const Tensor logits = runner.logits(tokens, sequences, states, wanted);
  const auto V = static_cast<size_t>(logits.cols());
  const float* row = logits.as<float>();
  std::vector<Score> scores;
  for (const Continuation& one : continuations.first(count)) {
    scores.push_back({.tokens = std::ssize(one.target)});
    for (const int32_t target : one.target) {
      add_row({row, V}, target, scores.back());
      row += V;
    }
  }
  return scores;
}

}  // namespace

std::vector<Score> score(Runner& runner, std::span<const Continuation> continuations,
                         const std::function<bool(int64_t)>& progress) {
  std::vector<Score> scores;
  while (scores.size() < continuations.size()) {
    for (const Score& one : score_some(runner, continuations.subspan(scores.size()))) {
      require(std::isfinite(one.log_likelihood), "evaluate: a likelihood is {}: the model is broken",
              one.log_likelihood);
      scores.push_back(one);
    }
    if (progress && !progress(std::ssize(scores))) break;
  }
  return scores;
}

}  // namespace aviary
