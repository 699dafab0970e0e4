// Deterministic automata over bytes, and their algebra: what texts match both, either, or one and not the
// other.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/char_set.h"
#include "grammar/work.h"

namespace aviary::grammar {

struct Dfa {
  struct Edge {
    uint8_t low = 0, high = 0;
    int32_t target = 0;
    bool operator==(const Edge&) const = default;
  };
  struct State {
    std::vector<Edge> edges;  // by increasing bytes, disjoint; a byte without an edge is rejected
    bool accepting = false;
  };
  std::vector<State> states;  // the first is the start; none: no text matches

  bool empty() const { return states.empty(); }
  // The state after this byte; -1: rejected.
  int32_t next(int32_t state, uint8_t byte) const;
  bool matches(std::string_view text) const;
};

enum class Combine : uint8_t { both, either, first_only };

// The texts that match both, at least one, or the first only. Every state of the result leads to a match.
Dfa combine(const Dfa& first, const Dfa& second, Combine how, Work& work);

// Removes the states that lead to no match or are never reached.
void trim(Dfa& dfa);

Dfa dfa_of_texts(std::span<const std::string> texts);
// All texts in UTF-8.
Dfa dfa_of_all_text();
// All texts in UTF-8 of `least` to `most` characters; most < 0: no limit.
Dfa dfa_of_lengths(int64_t least, int64_t most, Work& work);

// Makes a Dfa from any description of states that can be sorted: next(state, byte) gives a
// std::optional<State>, and accepts(state) a bool.
template <typename State, typename Next, typename Accepts>
Dfa explore(const State& start, std::string_view alphabet, Next next, Accepts accepts, Work& work);

}  // namespace aviary::grammar

#include "grammar/dfa_explore.h"
