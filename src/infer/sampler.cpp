#include "infer/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "base/error.h"

namespace aviary {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr size_t lanes = 16;  // partial results that the compiler can keep in vector registers

// e^x for x <= 0 within 2 units of the last place, 0 below -87.7. Without branches, so that loops over it
// vectorize.
inline float exp_negative(float x) {
  constexpr float shift = 0x1.8p23f;  // adding it rounds to an integer, which is then in the low bits
  // max(x, -88), where n = -127, whose power of two is the bit pattern of 0; for negative numbers this is the
  // minimum of the bit patterns (g++ would compile the comparison of floats to a branch).
  float clamped = std::bit_cast<float>(std::min(std::bit_cast<uint32_t>(x), std::bit_cast<uint32_t>(-88.0f)));
  float shifted = clamped * 1.44269504f + shift;
  float n = shifted - shift;
  float r = clamped - n * 0.693359375f + n * 2.12194440e-4f;  // x - n * ln 2, ln 2 in two parts
  float sum = 1.0f / 5040;
  for (float coefficient : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
    sum = sum * r + coefficient;
  return sum * std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) + 127u) << 23);
}

// Throws unless every logit is finite or -infinity and one is finite.
float largest_logit(std::span<const float> logits) {
  require(!logits.empty(), "sampler: there are no logits");
  float largest[lanes];
  int bad[lanes] = {};
  std::fill_n(largest, lanes, -infinity);
  auto look = [&](float x, size_t lane) {
    largest[lane] = x > largest[lane] ? x : largest[lane];
    bad[lane] |= !(x < infinity);
  };
  size_t i = 0;
  for (; i + lanes <= logits.size(); i += lanes)
    for (size_t lane = 0; lane < lanes; ++lane) look(logits[i + lane], lane);
  for (; i < logits.size(); ++i) look(logits[i], 0);

  if (std::find(bad, bad + lanes, 1) != bad + lanes) {
    auto first = std::find_if(logits.begin(), logits.end(), [](float x) { return !(x < infinity); });
    fail(
        "sampler: the logit of token {} is {}, expected a finite number; the model has diverged or its file "
        "is damaged",
        first - logits.begin(), *first);
  }
  float best = *std::max_element(largest, largest + lanes);
  require(best > -infinity, "sampler: all {} logits are -inf, so no token can be drawn; fewer must be banned",
          logits.size());
  return best;
}

double sum_of(std::span<const float> values) {
  double sums[lanes] = {};
  size_t i = 0;
  for (; i + lanes <= values.size(); i += lanes)
    for (size_t lane = 0; lane < lanes; ++lane) sums[lane] += values[i + lane];
  for (; i < values.size(); ++i) sums[0] += values[i];
  double sum = 0;
  for (double part : sums) sum += part;
  return sum;
}

double number_of(std::span<const float> values) { return static_cast<double>(values.size()); }

// Calls look(i) for all weights that are at least `from`, and for some that are not: a few large ones among
// many small ones are found quickly, and `look` needs no branch, which could not be predicted among many
// large ones.
template <typename Look>
void for_large(std::span<const float> weights, float from, Look look) {
  for (size_t i = 0; i < weights.size(); i += lanes) {
    const size_t end = std::min(i + lanes, weights.size());
    int large = end - i < lanes ? 1 : 0;
    if (large == 0)
      for (size_t lane = 0; lane < lanes; ++lane) large |= weights[i + lane] >= from;
    if (large != 0)
      for (size_t at = i; at < end; ++at) look(at);
  }
}

// Copies those of the weights that are in [from, below) to the front of `kept`, which may be the weights
// themselves.
std::span<float> gather(std::span<const float> weights, float from, float below, std::span<float> kept) {
  size_t count = 0;
  for_large(weights, from, [&](size_t i) {
    const float weight = weights[i];
    kept[count] = weight;
    count += static_cast<size_t>(weight >= from) & static_cast<size_t>(weight < below);
  });
  return kept.first(count);
}

// Some of the weights, and the measure of all that are larger than these.
struct Around {
  std::span<float> weights;
  double larger = 0;
};

// The largest weight is 1. Of the weights from `floor` on, in descending order, those around the first at
// which the measure (sum or number) of all up to it reaches `goal`; none if all together do not reach it.
template <typename Measure>
Around around(std::span<const float> weights, double goal, float floor, std::vector<float>& pool,
              Measure measure) {
  constexpr size_t few = 256;  // are quickly put in order
  constexpr int most_halvings = 16;
  float from = 0x1p-8f, below = infinity;
  Around found;
  double reached = 0;
  while (true) {
    from = std::max(from, floor);
    found.weights = gather(weights, from, below, pool);
    reached = found.larger + measure(found.weights);
    if (reached >= goal || from <= floor) break;
    found.larger = reached;
    below = from;
    from *= 0x1p-8f;
  }
  if (reached < goal) return {};
  below = std::min(below, 2.0f);
  for (int i = 0; i < most_halvings && found.weights.size() > few; ++i) {
    const float middle = std::sqrt(std::max(from, std::numeric_limits<float>::min()) * below);
    if (middle <= from || middle >= below) break;
    // In the second half of the pool, because the others may still be wanted.
    const std::span<float> upper =
        gather(found.weights, middle, below, std::span(pool).last(pool.size() / 2));
    const double with_upper = found.larger + measure(upper);
    const bool are_all =
        upper.size() == found.weights.size();  // then the goal is among them, however sums are rounded
    if (with_upper >= goal || are_all) {
      from = middle;
      std::copy(upper.begin(), upper.end(), pool.begin());
      found.weights = std::span(pool).first(upper.size());
    } else {
      found.larger = with_upper;
      below = middle;
      found.weights = gather(found.weights, from, below, found.weights);
    }
  }
  return found;
}

// The weight at which the sum of the descending weights first reaches `mass`.
float cutoff_of_mass(std::span<const float> weights, double mass, std::vector<float>& pool) {
  Around found = around(weights, mass, 0.0f, pool, sum_of);
  const std::span<float> top = found.weights;
  if (top.empty()) return 0;  // by rounding
  // Quickselect by mass: the crossing is in top[low, high), and `larger` is the sum of all before it.
  size_t low = 0, high = top.size();
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    auto at = [&](size_t index) { return top.begin() + static_cast<ptrdiff_t>(index); };
    std::nth_element(at(low), at(middle), at(high), std::greater<>());
    double upper = sum_of(top.subspan(low, middle - low));
    if (found.larger + upper >= mass) {
      high = middle;
    } else {
      found.larger += upper;
      low = middle;
    }
  }
  return top[low];
}

// The weight of the token at position `count` (from 1) in descending order, or `floor` if that is larger.
float cutoff_of_count(std::span<const float> weights, size_t count, float floor, std::vector<float>& pool) {
  const Around found = around(weights, static_cast<double>(count), floor, pool, number_of);
  if (found.weights.empty()) return floor;
  auto last = found.weights.begin() + static_cast<ptrdiff_t>(count - 1 - static_cast<size_t>(found.larger));
  std::nth_element(found.weights.begin(), last, found.weights.end(), std::greater<>());
  return *last;
}

// p^(1/temperature) of the kept tokens, as weights; returns their sum.
double apply_temperature(std::span<Candidate> kept, std::span<const float> logits, float best,
                         double temperature) {
  if (temperature != 0.0 && temperature != 1.0) {
    auto scale = static_cast<float>(1.0 / std::max(temperature, 1e-6));
    for (Candidate& candidate : kept)
      candidate.probability = exp_negative((logits[static_cast<size_t>(candidate.token)] - best) * scale);
  }
  double sum = 0;
  for (const Candidate& candidate : kept) sum += candidate.probability;
  return sum;
}

// See candidates() in the header; valid until the next call. The options are checked.
std::span<const Candidate> select(std::span<const float> logits, const SamplerOptions& options,
                                  detail::Selection& selection) {
  float best = largest_logit(logits);
  selection.weights.resize(logits.size());
  selection.pool.resize(2 * logits.size());
  std::span<float> weights = selection.weights;
  // Every filter keeps the tokens above some weight, and so do all filters together.
  float cutoff = std::numeric_limits<float>::min();
  if (options.temperature == 0.0) {
    cutoff = 1.0f;
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = logits[i] == best ? 1.0f : 0.0f;
  } else {
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = exp_negative(logits[i] - best);
    double sum = sum_of(weights);  // probability = weight / sum
    if (options.top_p < 1.0) {
      float top_p = cutoff_of_mass(weights, options.top_p * sum, selection.pool);
      if (options.top_p_x > 0.0) top_p = std::min(top_p, static_cast<float>(options.top_p_x * sum));
      cutoff = std::max(cutoff, top_p);
    }
    if (options.top_a > 0.0)
      cutoff = std::max(cutoff,
                        static_cast<float>(options.top_a * std::pow(1.0 / sum, options.top_a_power) * sum));
    // Weights are relative to the largest probability.
    cutoff = std::min(std::max(cutoff, static_cast<float>(options.min_p)), 1.0f);
  }
  const bool limited = options.top_k > 0 && static_cast<uint64_t>(options.top_k) < logits.size();
  const auto most = static_cast<size_t>(options.top_k);
  if (limited) cutoff = cutoff_of_count(weights, most, cutoff, selection.pool);

  selection.places.resize(weights.size());
  std::span<Candidate> kept = selection.places;
  size_t count = 0;
  for_large(weights, cutoff, [&](size_t i) {
    kept[count] = {static_cast<int32_t>(i), weights[i]};
    count += static_cast<size_t>(weights[i] >= cutoff);
  });
  kept = kept.first(count);
  if (limited && count > most) {  // of those with the cutoff weight the first
    const auto larger = std::ranges::count_if(kept, [&](Candidate one) { return one.probability > cutoff; });
    size_t equal = most - static_cast<size_t>(larger);
    count = 0;
    for (const Candidate one : kept) {
      if (one.probability == cutoff && equal == 0) continue;
      equal -= one.probability == cutoff ? 1 : 0;
      kept[count++] = one;
    }
    kept = kept.first(count);
  }
  auto total = static_cast<float>(apply_temperature(kept, logits, best, options.temperature));
  for (Candidate& candidate : kept) candidate.probability /= total;
  return kept;
}

void check_range(const char* name, double value, bool inside, const char* expected) {
  require(inside, "sampler: {} is {}, expected {}", name, value, expected);
}

}  // namespace

void check(const SamplerOptions& o) {
  auto finite = [](double x) { return std::isfinite(x); };
  check_range("temperature", o.temperature, finite(o.temperature) && o.temperature >= 0,
              "0 (greedy) or more");
  require(o.top_k >= 0, "sampler: top_k is {}, expected a number of tokens, or 0 for no limit", o.top_k);
  check_range("top_p", o.top_p, o.top_p > 0 && o.top_p <= 1,
              "more than 0 and at most 1; for the most probable token alone set temperature to 0");
  check_range("top_a", o.top_a, o.top_a >= 0 && o.top_a <= 1, "0 (off) to 1");
  check_range("top_a_power", o.top_a_power, finite(o.top_a_power) && o.top_a_power >= 0, "0 or more");
  check_range("top_p_x", o.top_p_x, o.top_p_x >= 0 && o.top_p_x <= 1, "0 (off) to 1");
  check_range("min_p", o.min_p, o.min_p >= 0 && o.min_p <= 1, "0 (off) to 1");
  check_range("repeat_penalty", o.repeat_penalty, o.repeat_penalty > 0 && o.repeat_penalty <= 100,
              "more than 0 and at most 100; 1 is off");
  check_range("presence_penalty", o.presence_penalty, std::abs(o.presence_penalty) <= 1000, "-1000 to 1000");
  check_range("frequency_penalty", o.frequency_penalty, std::abs(o.frequency_penalty) <= 1000,
              "-1000 to 1000");
  check_range("penalty_decay", o.penalty_decay, o.penalty_decay >= 0 && o.penalty_decay <= 1,
              "0 to 1 (no decay)");
  for (int32_t token : o.uncounted)
    require(token >= 0, "sampler: uncounted holds token {}, expected 0 or more", token);
  for (int32_t token : o.before)
    require(token >= 0, "sampler: before holds token {}, expected 0 or more", token);
  for (const TokenBias& bias : o.bias) {
    require(bias.token >= 0, "sampler: bias is given for token {}, expected 0 or more", bias.token);
    require(bias.bias < infinity,
            "sampler: the bias of token {} is {}, expected a finite number, or -inf to ban it", bias.token,
            bias.bias);
  }
}

void set_before(SamplerOptions& options, std::span<const int32_t> tokens) {
  options.before.clear();
  if (options.repeat_penalty == 1 || options.repeat_last_n == 0) return;
  if (options.repeat_last_n > 0 && options.repeat_last_n < std::ssize(tokens))
    tokens = tokens.last(static_cast<size_t>(options.repeat_last_n));
  options.before.assign(tokens.begin(), tokens.end());
}

std::vector<Candidate> candidates(std::span<const float> logits, const SamplerOptions& options) {
  check(options);
  detail::Selection selection;
  const std::span<const Candidate> kept = select(logits, options, selection);
  return {kept.begin(), kept.end()};
}

Sampler::Sampler(SamplerOptions options) : options_(std::move(options)), random_(options_.seed) {
  check(options_);
  std::sort(options_.uncounted.begin(), options_.uncounted.end());
  for (const int32_t token : options_.before) note_recent(token);
}

void Sampler::note_recent(int32_t token) {
  if (options_.repeat_penalty == 1 || options_.repeat_last_n == 0) return;
  recent_.push_back(token);
  ++recently_[token];
  if (options_.repeat_last_n < 0 || std::ssize(recent_) <= options_.repeat_last_n) return;
  const auto oldest = recently_.find(recent_.front());
  if (--oldest->second == 0) recently_.erase(oldest);
  recent_.pop_front();
}

std::span<const Candidate> Sampler::candidates(std::span<const float> logits) {
  bool penalties = !counts_.empty() && (options_.presence_penalty != 0 || options_.frequency_penalty != 0);
  if (penalties || !options_.bias.empty() || !recently_.empty()) {
    adjusted_.assign(logits.begin(), logits.end());
    auto logit_of = [&](int32_t token, const char* what) -> float& {
      require(static_cast<size_t>(token) < adjusted_.size(),
              "sampler: {} token {} is not in the vocabulary of {} tokens", what, token, adjusted_.size());
      return adjusted_[static_cast<size_t>(token)];
    };
    for (const TokenBias& bias : options_.bias) logit_of(bias.token, "biased") += bias.bias;
    const auto factor = static_cast<float>(options_.repeat_penalty);
    for (const auto& [token, count] : recently_) {
      float& logit = logit_of(token, "preceding");
      logit = logit > 0 ? logit / factor : logit * factor;
    }
    if (penalties)
      for (const auto& [token, count] : counts_)
        logit_of(token, "accepted") -=
            static_cast<float>(options_.presence_penalty + count * options_.frequency_penalty);
    logits = adjusted_;
  }
  return select(logits, options_, selection_);
}

int32_t Sampler::sample(std::span<const float> logits) {
  std::span<const Candidate> kept = candidates(logits);
  double rest = random_.uniform();
  for (const Candidate& candidate : kept) {
    rest -= candidate.probability;
    if (rest < 0) return candidate.token;
  }
  // Because of rounding, the probabilities may sum to slightly less than 1.
  return kept.back().token;
}

bool Sampler::bans(int32_t token) const {
  return std::any_of(options_.bias.begin(), options_.bias.end(),
                     [&](const TokenBias& bias) { return bias.token == token && bias.bias == -infinity; });
}

void Sampler::accept(int32_t token) {
  require(token >= 0, "sampler: token {} was accepted, expected 0 or more", token);
  note_recent(token);
  double increase =
      std::binary_search(options_.uncounted.begin(), options_.uncounted.end(), token) ? 0.0 : 1.0;
  bool known = false;
  for (auto& entry : counts_) {
    entry.count *= options_.penalty_decay;
    if (entry.token == token) {
      entry.count += increase;
      known = true;
    }
  }
  if (!known) counts_.push_back({token, increase});
}

SamplerState Sampler::state() const {
  return {random_.seed(), random_.counter(), counts_, {recent_.begin(), recent_.end()}};
}

void Sampler::restore(const SamplerState& state) {
  std::vector<int32_t> tokens;
  for (const auto& [token, count] : state.counts) {
    require(token >= 0 && std::isfinite(count) && count >= 0,
            "sampler state: token {} has the count {}, expected a token and a count of 0 or more", token,
            count);
    tokens.push_back(token);
  }
  std::sort(tokens.begin(), tokens.end());
  auto twice = std::adjacent_find(tokens.begin(), tokens.end());
  require(twice == tokens.end(), "sampler state: token {} is counted twice",
          twice == tokens.end() ? 0 : *twice);
  for (const int32_t token : state.recent)
    require(token >= 0, "sampler state: token {} is recent, expected 0 or more", token);
  random_ = Random(state.seed, state.counter);
  counts_ = state.counts;
  recent_.clear();
  recently_.clear();
  for (const int32_t token : state.recent) note_recent(token);
}

}  // namespace aviary
