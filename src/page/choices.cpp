#include "page/choices.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "page/readings.h"

namespace aviary {
namespace {

// What the sampler draws from with these options, as probabilities of all tokens.
std::vector<double> drawn(std::span<const float> logits, const SamplerOptions& options,
                          std::span<const int32_t> written, int64_t& count) {
  Sampler sampler(options);
  for (const int32_t token : written) sampler.accept(token);
  std::vector<double> p(logits.size());
  const std::span<const Candidate> kept = sampler.candidates(logits);
  for (const Candidate& one : kept) p[static_cast<size_t>(one.token)] = one.probability;
  count = std::ssize(kept);
  return p;
}

// The penalties and the bias, without filters.
SamplerOptions without_filters(const SamplerOptions& options) {
  SamplerOptions plain = options;
  plain.temperature = 1;
  plain.top_k = 0;
  plain.top_p = 1;
  plain.top_a = plain.top_p_x = plain.min_p = 0;
  return plain;
}

}  // namespace

Explanation explain(std::span<const float> logits, const SamplerOptions& options,
                    std::span<const int32_t> written, Constraint* constraint, int64_t most) {
  Explanation result;
  std::vector<float> allowed(logits.begin(), logits.end());
  if (constraint != nullptr) constraint->allow(allowed);
  SamplerOptions by_top_k = without_filters(options), by_top_p = by_top_k, by_top_a = by_top_k,
                 by_min_p = by_top_k;
  by_top_k.top_k = options.top_k;
  by_top_p.top_p = options.top_p;
  by_top_p.top_p_x = options.top_p_x;
  by_top_a.top_a = options.top_a;
  by_min_p.min_p = options.min_p;
  int64_t ignored = 0;
  const std::vector<double> model = softmax(logits),
                            penalized = drawn(allowed, without_filters(options), written, ignored),
                            final = drawn(allowed, options, written, result.kept),
                            top_k = drawn(allowed, by_top_k, written, result.kept_by_top_k),
                            top_p = drawn(allowed, by_top_p, written, result.kept_by_top_p),
                            top_a = drawn(allowed, by_top_a, written, result.kept_by_top_a),
                            min_p = drawn(allowed, by_min_p, written, result.kept_by_min_p);
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto end = order.begin() + std::min<int64_t>(most, std::ssize(order));
  std::partial_sort(order.begin(), end, order.end(), [&](size_t a, size_t b) {
    if (penalized[a] != penalized[b]) return penalized[a] > penalized[b];
    return model[a] != model[b] ? model[a] > model[b] : a < b;
  });
  for (auto at = order.begin(); at != end; ++at) {
    const size_t i = *at;
    result.tokens.push_back({.token = static_cast<int32_t>(i),
                             .model = model[i],
                             .penalized = penalized[i],
                             .drawn = final[i],
                             .grammar = std::isfinite(allowed[i]),
                             .top_k = top_k[i] > 0,
                             .top_p = top_p[i] > 0,
                             .top_a = top_a[i] > 0,
                             .min_p = min_p[i] > 0});
  }
  result.kept_by_grammar =
      std::count_if(allowed.begin(), allowed.end(), [](float logit) { return std::isfinite(logit); });
  return result;
}

}  // namespace aviary
