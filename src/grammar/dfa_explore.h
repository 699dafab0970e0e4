// The template of dfa.h.
#pragma once

#include <map>
#include <utility>

namespace aviary::grammar {

template <typename State, typename Next, typename Accepts>
Dfa explore(const State& start, std::string_view alphabet, Next next, Accepts accepts, Work& work) {
  Dfa dfa;
  std::map<State, int32_t> numbers;
  std::vector<State> queue;
  auto number = [&](const State& state) {
    const auto [place, fresh] = numbers.emplace(state, static_cast<int32_t>(dfa.states.size()));
    if (fresh) {
      dfa.states.push_back({.edges = {}, .accepting = accepts(state)});
      queue.push_back(state);
      work.spend(1);
      require(std::ssize(queue) <= Work::most_states_at_once,
              "grammar: a number or text needs an automaton of more than {} states",
              Work::most_states_at_once);
    }
    return place->second;
  };
  number(start);
  for (size_t i = 0; i < queue.size(); ++i) {
    for (const char byte : alphabet) {  // sorted
      const State here = queue[i];
      const auto after = next(here, byte);
      if (!after) continue;
      const int32_t target = number(*after);
      std::vector<Dfa::Edge>& edges = dfa.states[i].edges;
      const auto value = static_cast<uint8_t>(byte);
      if (!edges.empty() && edges.back().target == target && edges.back().high + 1 == value)
        edges.back().high = value;
      else
        edges.push_back({value, value, target});
    }
  }
  trim(dfa);
  return dfa;
}

}  // namespace aviary::grammar
