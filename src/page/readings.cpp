#include "page/readings.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace aviary {
namespace {

constexpr int64_t chunk = 128;  // tokens read at once where all logits are wanted

std::span<const float> row_of(const Tensor& logits, int64_t row) {
  const auto width = static_cast<size_t>(logits.shape()[1]);
  return {logits.as<float>() + static_cast<size_t>(row) * width, width};
}

Surprise surprise_of(std::span<const float> logits, int32_t token, int64_t most) {
  const std::vector<double> p = softmax(logits);
  const double own = p[static_cast<size_t>(token)];
  Surprise result{.bits = -std::log2(own), .rank = 1};
  for (const double one : p) {
    result.rank += one > own;
    if (one > 0) result.entropy -= one * std::log2(one);
  }
  std::vector<int32_t> best(p.size());
  for (size_t i = 0; i < best.size(); ++i) best[i] = static_cast<int32_t>(i);
  const auto end = best.begin() + std::min<int64_t>(most, std::ssize(best));
  std::partial_sort(best.begin(), end, best.end(), [&](int32_t a, int32_t b) {
    return p[static_cast<size_t>(a)] > p[static_cast<size_t>(b)];
  });
  for (auto at = best.begin(); at != end; ++at) result.top.push_back({*at, p[static_cast<size_t>(*at)]});
  return result;
}

// The memories of all heads of a state, one after another.
class Memories {
 public:
  explicit Memories(std::span<const MemoryHead> heads) : heads_(heads) {
    size_t all = 0;
    for (const MemoryHead& head : heads) offsets_.push_back(all), all += static_cast<size_t>(head.count);
    numbers_.resize(all);
  }
  void read(const State& state) {
    for (size_t i = 0; i < heads_.size(); ++i) read_memory(state, heads_[i], writable(i));
  }
  std::span<const float> operator[](size_t i) const {
    return std::span(numbers_).subspan(offsets_[i], static_cast<size_t>(heads_[i].count));
  }

 private:
  std::span<float> writable(size_t i) {
    return std::span(numbers_).subspan(offsets_[i], static_cast<size_t>(heads_[i].count));
  }
  std::span<const MemoryHead> heads_;
  std::vector<size_t> offsets_;
  std::vector<float> numbers_;
};

// 0 where there is nothing to compare with.
float share(double part, double whole) { return whole > 0 ? static_cast<float>(part / whole) : 0; }

void read_all(Runner& runner, std::span<const int32_t> tokens, State& state) {
  for (size_t at = 0; at < tokens.size(); at += chunk) {
    const auto part = tokens.subspan(at, std::min(tokens.size() - at, static_cast<size_t>(chunk)));
    runner.logits(part, Sequences::uniform(1, std::ssize(part)), state, {});
  }
}

std::vector<double> prediction(Runner& runner, std::span<const int32_t> tokens, State& state) {
  const auto most = static_cast<size_t>(chunk);
  const size_t first = tokens.size() > most ? tokens.size() - most : 0;
  read_all(runner, tokens.first(first), state);
  const auto rest = tokens.subspan(first);
  return softmax(row_of(runner.last_logits(rest, Sequences::uniform(1, std::ssize(rest)), state), 0));
}

}  // namespace

std::vector<double> softmax(std::span<const float> logits) {
  const double best = *std::max_element(logits.begin(), logits.end());
  std::vector<double> p(logits.size());
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += p[i] = std::exp(static_cast<double>(logits[i]) - best);
  for (double& one : p) one /= sum;
  return p;
}

double divergence(std::span<const double> p, std::span<const double> q) {
  constexpr double least = 1e-300;
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i)
    if (p[i] > 0) sum += p[i] * std::log2(p[i] / std::max(q[i], least));
  return std::max(sum, 0.0);
}

std::vector<Surprise> surprises(Runner& runner, std::span<const int32_t> tokens, State& state, int64_t top) {
  std::vector<Surprise> result;
  const int64_t total = std::ssize(tokens) - 1;
  for (int64_t at = 0; at < total; at += chunk) {
    const int64_t rows = std::min(chunk, total - at);
    const auto part = tokens.subspan(static_cast<size_t>(at), static_cast<size_t>(rows));
    const Tensor logits = runner.all_logits(part, Sequences::uniform(1, rows), state);
    for (int64_t row = 0; row < rows; ++row)
      result.push_back(surprise_of(row_of(logits, row), tokens[static_cast<size_t>(at + row + 1)], top));
  }
  return result;
}

Flow flow(Runner& runner, std::span<const int32_t> tokens, std::span<const MemoryHead> heads) {
  Flow result;
  State state = runner.new_state();
  Memories before(heads), now(heads);
  before.read(state);
  for (size_t t = 0; t < tokens.size(); ++t) {
    runner.logits(tokens.subspan(t, 1), Sequences::uniform(1, 1), state, {});
    now.read(state);
    for (size_t i = 0; i < heads.size(); ++i) {
      const double size = length(now[i]);
      result.size.push_back(static_cast<float>(size / std::sqrt(static_cast<double>(heads[i].count))));
      result.change.push_back(share(distance(now[i], before[i]), size));
    }
    std::swap(before, now);
  }
  return result;
}

Trace trace(Runner& runner, const TraceTexts& texts, std::span<const MemoryHead> heads) {
  Trace result;
  std::vector<State> states = runner.new_states(1);
  if (!texts.before.empty()) read_all(runner, texts.before, states[0]);
  states.push_back(states[0]);
  std::vector<double> with = prediction(runner, texts.word, states[0]),
                      without = prediction(runner, texts.other, states[1]);
  Memories a(heads), b(heads);
  for (size_t t = 0;; ++t) {
    a.read(states[0]);
    b.read(states[1]);
    for (size_t i = 0; i < heads.size(); ++i)
      result.difference.push_back(share(distance(a[i], b[i]), length(a[i])));
    result.effect.push_back(divergence(with, without));
    if (t == texts.rest.size()) return result;
    const int32_t twice[] = {texts.rest[t], texts.rest[t]};
    const Tensor logits = runner.last_logits(twice, Sequences::uniform(2, 1), states);
    with = softmax(row_of(logits, 0));
    without = softmax(row_of(logits, 1));
  }
}

std::vector<Forgetting> forgetting(Runner& runner, std::span<const int32_t> tokens, int64_t places) {
  const int64_t total = std::ssize(tokens), half = total / 2;
  std::vector<int64_t> ends;  // numbers of tokens
  for (int64_t i = 0; i < places; ++i) ends.push_back(half + (total - half) * (i + 1) / places);
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  std::vector<std::vector<double>> whole;
  State state = runner.new_state();
  int64_t read = 0;
  for (const int64_t end : ends) {
    whole.push_back(prediction(
        runner, tokens.subspan(static_cast<size_t>(read), static_cast<size_t>(end - read)), state));
    read = end;
  }
  std::vector<Forgetting> curve;
  for (int64_t k = 1; k < ends.front(); k *= 2) {
    Forgetting point{.tokens = k};
    for (size_t i = 0; i < ends.size(); ++i) {
      State fresh = runner.new_state();
      const auto last = tokens.subspan(static_cast<size_t>(ends[i] - k), static_cast<size_t>(k));
      const std::vector<double> cut = prediction(runner, last, fresh);
      point.bits += divergence(whole[i], cut);
      const auto best = [](const std::vector<double>& p) {
        return std::max_element(p.begin(), p.end()) - p.begin();
      };
      point.agreement += best(whole[i]) == best(cut);
      ++point.places;
    }
    point.bits /= static_cast<double>(point.places);
    point.agreement /= static_cast<double>(point.places);
    curve.push_back(point);
  }
  return curve;
}

}  // namespace aviary
