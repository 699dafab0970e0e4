#include "grammar/dfa.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

namespace aviary::grammar {
namespace {

constexpr int32_t dead = -1;

uint64_t pair_key(int32_t a, int32_t b) {
  return static_cast<uint64_t>(static_cast<uint32_t>(a)) << 32 | static_cast<uint32_t>(b);
}

// Calls `add` with every largest range of bytes in which the target of both states is constant.
template <typename Add>
void for_each_common_range(std::span<const Dfa::Edge> a, std::span<const Dfa::Edge> b, Add add) {
  size_t i = 0, j = 0;
  for (int byte = 0; byte <= 255;) {
    while (i < a.size() && a[i].high < byte) ++i;
    while (j < b.size() && b[j].high < byte) ++j;
    int end = 255;
    auto target = [&](std::span<const Dfa::Edge> edges, size_t k) {
      if (k == edges.size()) return dead;
      if (edges[k].low > byte) {
        end = std::min(end, edges[k].low - 1);
        return dead;
      }
      end = std::min<int>(end, edges[k].high);
      return edges[k].target;
    };
    const int32_t first = target(a, i), second = target(b, j);
    add(static_cast<uint8_t>(byte), static_cast<uint8_t>(end), first, second);
    byte = end + 1;
  }
}

void append_edge(std::vector<Dfa::Edge>& edges, Dfa::Edge edge) {
  if (!edges.empty() && edges.back().target == edge.target && edges.back().high + 1 == edge.low)
    edges.back().high = edge.high;
  else
    edges.push_back(edge);
}

std::vector<bool> states_that_lead_to_a_match(const Dfa& dfa) {
  std::vector<std::vector<int32_t>> before(dfa.states.size());
  std::vector<int32_t> queue;
  std::vector<bool> good(dfa.states.size());
  for (size_t i = 0; i < dfa.states.size(); ++i) {
    for (const Dfa::Edge& edge : dfa.states[i].edges)
      before[static_cast<size_t>(edge.target)].push_back(static_cast<int32_t>(i));
    good[i] = dfa.states[i].accepting;
    if (good[i]) queue.push_back(static_cast<int32_t>(i));
  }
  while (!queue.empty()) {
    const int32_t state = queue.back();
    queue.pop_back();
    for (const int32_t earlier : before[static_cast<size_t>(state)]) {
      if (good[static_cast<size_t>(earlier)]) continue;
      good[static_cast<size_t>(earlier)] = true;
      queue.push_back(earlier);
    }
  }
  return good;
}

}  // namespace

int32_t Dfa::next(int32_t state, uint8_t byte) const {
  if (state < 0 || static_cast<size_t>(state) >= states.size()) return dead;
  for (const Edge& edge : states[static_cast<size_t>(state)].edges)
    if (edge.low <= byte && byte <= edge.high) return edge.target;
  return dead;
}

bool Dfa::matches(std::string_view text) const {
  if (states.empty()) return false;
  int32_t state = 0;
  for (const char byte : text)
    if ((state = next(state, static_cast<uint8_t>(byte))) == dead) return false;
  return states[static_cast<size_t>(state)].accepting;
}

void trim(Dfa& dfa) {
  if (dfa.states.empty()) return;
  const std::vector<bool> good = states_that_lead_to_a_match(dfa);
  if (!good[0]) {
    dfa.states.clear();
    return;
  }
  std::vector<int32_t> number(dfa.states.size(), dead), order{0};
  number[0] = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    auto& edges = dfa.states[static_cast<size_t>(order[i])].edges;
    std::erase_if(edges, [&](const Dfa::Edge& edge) { return !good[static_cast<size_t>(edge.target)]; });
    for (Dfa::Edge& edge : edges) {
      int32_t& target = number[static_cast<size_t>(edge.target)];
      if (target == dead) {
        target = static_cast<int32_t>(order.size());
        order.push_back(edge.target);
      }
      edge.target = target;
    }
  }
  std::vector<Dfa::State> kept;
  kept.reserve(order.size());
  for (const int32_t state : order) kept.push_back(std::move(dfa.states[static_cast<size_t>(state)]));
  dfa.states = std::move(kept);
}

Dfa combine(const Dfa& first, const Dfa& second, Combine how, Work& work) {
  auto accepts = [&](int32_t a, int32_t b) {
    const bool in_first = a != dead && first.states[static_cast<size_t>(a)].accepting;
    const bool in_second = b != dead && second.states[static_cast<size_t>(b)].accepting;
    if (how == Combine::both) return in_first && in_second;
    return how == Combine::either ? in_first || in_second : in_first && !in_second;
  };
  auto hopeless = [&](int32_t a, int32_t b) {
    if (how == Combine::both) return a == dead || b == dead;
    return how == Combine::either ? a == dead && b == dead : a == dead;
  };
  Dfa result;
  std::unordered_map<uint64_t, int32_t> numbers;
  std::vector<std::pair<int32_t, int32_t>> queue;
  auto number = [&](int32_t a, int32_t b) {
    const auto [place, fresh] = numbers.emplace(pair_key(a, b), static_cast<int32_t>(queue.size()));
    if (fresh) {
      queue.emplace_back(a, b);
      result.states.push_back({.edges = {}, .accepting = accepts(a, b)});
      work.spend(1);
    }
    return place->second;
  };
  const int32_t a = first.empty() ? dead : 0, b = second.empty() ? dead : 0;
  if (hopeless(a, b)) return result;
  number(a, b);
  static const std::vector<Dfa::Edge> none;
  for (size_t i = 0; i < queue.size(); ++i) {
    const auto [p, q] = queue[i];
    std::vector<Dfa::Edge> edges;
    for_each_common_range(p == dead ? none : first.states[static_cast<size_t>(p)].edges,
                          q == dead ? none : second.states[static_cast<size_t>(q)].edges,
                          [&](uint8_t low, uint8_t high, int32_t to_a, int32_t to_b) {
                            if (!hopeless(to_a, to_b)) append_edge(edges, {low, high, number(to_a, to_b)});
                          });
    result.states[i].edges = std::move(edges);
  }
  trim(result);
  return result;
}

Dfa dfa_of_texts(std::span<const std::string> texts) {
  Dfa dfa;
  if (texts.empty()) return dfa;
  std::vector<std::map<uint8_t, int32_t>> children(1);
  std::vector<bool> accepting(1);
  for (const std::string& text : texts) {
    size_t state = 0;
    for (const char byte : text) {
      const auto [place, fresh] =
          children[state].emplace(static_cast<uint8_t>(byte), static_cast<int32_t>(children.size()));
      state = static_cast<size_t>(place->second);
      if (fresh) {
        children.emplace_back();
        accepting.push_back(false);
      }
    }
    accepting[state] = true;
  }
  for (size_t i = 0; i < children.size(); ++i) {
    dfa.states.push_back({.edges = {}, .accepting = accepting[i]});
    for (const auto& [byte, target] : children[i]) dfa.states.back().edges.push_back({byte, byte, target});
  }
  return dfa;
}

Dfa dfa_of_all_text() {
  Work work;
  return dfa_of_lengths(0, -1, work);
}

Dfa dfa_of_lengths(int64_t least, int64_t most, Work& work) {
  Dfa dfa;
  if (most >= 0 && least > most) return dfa;
  const int64_t levels = most >= 0 ? most : least;  // the last level without a limit repeats itself
  require(levels < Work::most_states_at_once / 8,
          "grammar: a text of {} characters cannot be combined with a pattern", levels);
  // Per level: the state between characters, then seven within a character.
  constexpr int32_t width = 8;
  dfa.states.resize(static_cast<size_t>(levels + 1) * width);
  work.spend(std::ssize(dfa.states));
  for (int64_t level = 0; level <= levels; ++level) {
    const auto base = static_cast<int32_t>(level) * width;
    const bool last = level == levels;
    auto* states = dfa.states.data() + base;
    states[0].accepting = level >= least;
    if (last && most >= 0) continue;
    const int32_t next = last ? base : base + width;
    states[0].edges = {{0x00, 0x7f, next},     {0xc2, 0xdf, base + 1}, {0xe0, 0xe0, base + 2},
                       {0xe1, 0xec, base + 3}, {0xed, 0xed, base + 4}, {0xee, 0xef, base + 3},
                       {0xf0, 0xf0, base + 5}, {0xf1, 0xf3, base + 6}, {0xf4, 0xf4, base + 7}};
    states[1].edges = {{0x80, 0xbf, next}};
    states[2].edges = {{0xa0, 0xbf, base + 1}};
    states[3].edges = {{0x80, 0xbf, base + 1}};
    states[4].edges = {{0x80, 0x9f, base + 1}};
    states[5].edges = {{0x90, 0xbf, base + 3}};
    states[6].edges = {{0x80, 0xbf, base + 3}};
    states[7].edges = {{0x80, 0x8f, base + 3}};
  }
  trim(dfa);
  return dfa;
}

}  // namespace aviary::grammar
