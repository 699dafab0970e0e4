#include "verify/laws.h"

#include <algorithm>
#include <cmath>

#include "base/difference.h"
#include "base/random.h"
#include "base/threads.h"
#include "models/registry.h"

namespace aviary {
namespace {

struct Outcome {
  std::vector<double> logits;  // [length, V]
  State state;
};

// Reads `tokens` in pieces of the given lengths.
Outcome run_in_pieces(Runner& runner, const std::vector<int32_t>& tokens,
                      const std::vector<int64_t>& lengths) {
  Outcome outcome{{}, runner.new_state()};
  auto begin = tokens.begin();
  for (int64_t length : lengths) {
    const std::vector<int32_t> piece(begin, begin + length);
    const std::vector<double> logits =
        to_host(runner.all_logits(piece, Sequences::uniform(1, length), outcome.state));
    outcome.logits.insert(outcome.logits.end(), logits.begin(), logits.end());
    begin += length;
  }
  return outcome;
}

std::vector<int64_t> random_split(int64_t length, Random& random) {
  std::vector<int64_t> lengths;
  while (length > 0) {
    lengths.push_back(1 + random.below(std::min<int64_t>(length, 40)));
    length -= lengths.back();
  }
  return lengths;
}

std::vector<int32_t> random_tokens(int64_t count, int64_t vocabulary, Random& random) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) tokens.push_back(static_cast<int32_t>(random.below(vocabulary)));
  return tokens;
}

// Reads `tokens` as the middle one of three sequences of different lengths.
Outcome run_in_batch(Runner& runner, const std::vector<int32_t>& tokens, Random& random) {
  const int64_t length = static_cast<int64_t>(tokens.size()), vocabulary = runner.model().config().vocab_size;
  const int64_t before = 1 + random.below(30), after = 1 + random.below(30);
  std::vector<int32_t> all = random_tokens(before, vocabulary, random);
  all.insert(all.end(), tokens.begin(), tokens.end());
  const std::vector<int32_t> tail = random_tokens(after, vocabulary, random);
  all.insert(all.end(), tail.begin(), tail.end());
  Sequences sequences;
  for (int64_t rows : {before, length, after}) sequences.append(rows);
  std::vector<State> states = runner.new_states(3);
  const std::vector<double> logits = to_host(runner.all_logits(all, sequences, states));
  return {{logits.begin() + before * vocabulary, logits.begin() + (before + length) * vocabulary}, states[1]};
}

double split_tolerance(const Model& model) {
  if (model.dtype() == Dtype::f64) return 1e-9;
  const bool few_bits = std::any_of(model.parameters().begin(), model.parameters().end(),
                                    [](const auto& p) { return is_quantized(p.weight.stored_type()); });
  return few_bits ? 0.02 : 1e-4;  // a changed bit may round an activation differently
}

}  // namespace

std::vector<LawCheck> check_split_law(Runner& runner, int64_t length, uint64_t seed) {
  Random random(seed);
  const std::vector<int32_t> tokens = random_tokens(length, runner.model().config().vocab_size, random);
  const Outcome whole = run_in_pieces(runner, tokens, {length});
  double scale = 1;
  for (double logit : whole.logits)
    if (std::isfinite(logit)) scale = std::max(scale, std::abs(logit));
  double state_scale = 1;
  for (size_t i = 0; i < whole.state.size(); ++i)
    for (double value : to_host(whole.state[i]))
      if (std::abs(value) < 1e20) state_scale = std::max(state_scale, std::abs(value));  // pp starts at -1e30

  std::vector<LawCheck> checks;
  auto compare = [&](const std::string& what, const Outcome& other, double tolerance) {
    checks.push_back({what + ", logits", largest_difference(whole.logits, other.logits), tolerance * scale});
    checks.push_back(
        {what + ", state", largest_difference(whole.state, other.state), tolerance * state_scale});
  };
  const double tolerance = split_tolerance(runner.model());
  const std::vector<int64_t> split = random_split(length, random);
  if (model_version(runner.model().config().version).reads == Reads::causal) {
    compare(std::to_string(split.size()) + " random chunks", run_in_pieces(runner, tokens, split), tolerance);
    compare("token by token",
            run_in_pieces(runner, tokens, std::vector<int64_t>(static_cast<size_t>(length), 1)), tolerance);
  }
  compare("in a batch with others", run_in_batch(runner, tokens, random), 0);
  const int before = threads();
  set_threads(before == 1 ? 2 : before - 1);
  const Outcome threaded = run_in_pieces(runner, tokens, {length});
  set_threads(before);
  compare("on another number of threads", threaded, 0);
  return checks;
}

}  // namespace aviary
