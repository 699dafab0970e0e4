// From a regular expression to a deterministic automaton: Thompson's construction, then sets of its states.
#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "base/error.h"
#include "grammar/regex.h"

namespace aviary::grammar {
namespace {

class Nfa {
 public:
  explicit Nfa(Work& work) : work_(work) {}

  struct State {
    std::vector<Dfa::Edge> bytes = {};
    std::vector<int32_t> free = {};                   // always
    std::vector<int32_t> at_begin = {}, at_end = {};  // only at the begin or the end of the text
  };

  int32_t add_state() {
    work_.spend(1);
    require(std::ssize(states_) < 8 * Work::most_states_at_once, "regular expression: it is too large");
    states_.emplace_back();
    return static_cast<int32_t>(states_.size()) - 1;
  }
  State& at(int32_t state) { return states_[static_cast<size_t>(state)]; }
  const State& at(int32_t state) const { return states_[static_cast<size_t>(state)]; }

  void add_chars(const CharSet& set, int32_t from, int32_t to) {
    add_utf8(
        set, from, to, [this] { return add_state(); },
        [this](int32_t before, ByteRange bytes, int32_t after) {
          at(before).bytes.push_back({bytes.low, bytes.high, after});
        });
  }

  // Adds the expression after `from`; returns the state after it.
  int32_t add(const Regex& regex, int32_t from) {
    switch (regex.kind) {
      case Regex::Kind::sequence:
        for (const Regex& part : regex.parts) from = add(part, from);
        return from;
      case Regex::Kind::repeat:
        return add_repeat(regex, from);
      case Regex::Kind::choice: {
        const int32_t to = add_state();
        for (const Regex& part : regex.parts) {
          const int32_t begin = add_state();
          at(from).free.push_back(begin);
          const int32_t end = add(part, begin);
          at(end).free.push_back(to);
        }
        return to;
      }
      default:
        break;
    }
    const int32_t to = add_state();
    if (regex.kind == Regex::Kind::chars) add_chars(regex.set, from, to);
    if (regex.kind == Regex::Kind::text_begin) at(from).at_begin.push_back(to);
    if (regex.kind == Regex::Kind::text_end) at(from).at_end.push_back(to);
    return to;
  }

  size_t size() const { return states_.size(); }

 private:
  int32_t add_repeat(const Regex& regex, int32_t from) {
    const Regex& part = regex.parts.front();
    for (int32_t i = 0; i < regex.least; ++i) from = add(part, from);
    if (regex.most < 0) {
      const int32_t loop = add_state();
      at(from).free.push_back(loop);
      const int32_t end = add(part, loop);
      at(end).free.push_back(loop);
      return loop;
    }
    const int32_t to = add_state();
    for (int32_t i = regex.least; i < regex.most; ++i) {
      at(from).free.push_back(to);
      from = add(part, from);
    }
    at(from).free.push_back(to);
    return to;
  }

  Work& work_;
  std::vector<State> states_;
};

using Set = std::vector<int32_t>;

class Determinize {
 public:
  Determinize(const Nfa& nfa, int32_t accept, Work& work)
      : nfa_(nfa), accept_(accept), work_(work), seen_(nfa.size(), 0) {}

  Dfa run(int32_t start) {
    number({start}, true);
    for (size_t i = 0; i < sets_.size(); ++i) expand(i);
    trim(dfa_);
    return std::move(dfa_);
  }

 private:
  // All states that can be reached from these without a byte.
  Set closure(const Set& from, bool at_begin, bool at_end) {
    ++round_;
    Set states = from;
    for (const int32_t state : states) seen_[static_cast<size_t>(state)] = round_;
    auto follow = [&](const std::vector<int32_t>& targets) {
      for (const int32_t target : targets)
        if (std::exchange(seen_[static_cast<size_t>(target)], round_) != round_) states.push_back(target);
    };
    for (size_t i = 0; i < states.size(); ++i) {
      const Nfa::State& state = nfa_.at(states[i]);
      follow(state.free);
      if (at_begin) follow(state.at_begin);
      if (at_end) follow(state.at_end);
    }
    work_.spend(std::ssize(states) / 16);
    return states;
  }

  // The number of the set of states that are reached from these.
  int32_t number(const Set& from, bool at_begin) {
    const Set last = closure(from, at_begin, true);
    const bool accepting = std::find(last.begin(), last.end(), accept_) != last.end();
    Set states = closure(from, at_begin, false);
    std::erase_if(states, [&](int32_t state) {
      const Nfa::State& it = nfa_.at(state);
      return it.bytes.empty() && it.at_end.empty() && state != accept_;
    });
    std::sort(states.begin(), states.end());
    // The start differs from other sets in what it accepts, never in where it leads.
    const auto [place, fresh] =
        numbers_.emplace(std::pair(std::move(states), accepting), static_cast<int32_t>(sets_.size()));
    if (fresh) {
      work_.spend(1);
      require(
          std::ssize(sets_) < Work::most_states_at_once,
          "regular expression: it needs an automaton of more than {} states; smaller counts make it smaller",
          Work::most_states_at_once);
      sets_.push_back(place->first.first);
      dfa_.states.push_back({.edges = {}, .accepting = accepting});
    }
    return place->second;
  }

  void expand(size_t i) {
    const Set states = sets_[i];
    std::vector<int> limits{0, 256};
    for (const int32_t state : states)
      for (const Dfa::Edge& edge : nfa_.at(state).bytes) {
        limits.push_back(edge.low);
        limits.push_back(edge.high + 1);
      }
    std::sort(limits.begin(), limits.end());
    limits.erase(std::unique(limits.begin(), limits.end()), limits.end());
    std::vector<Dfa::Edge> edges;
    for (size_t k = 0; k + 1 < limits.size(); ++k) {
      Set targets;
      for (const int32_t state : states)
        for (const Dfa::Edge& edge : nfa_.at(state).bytes)
          if (edge.low <= limits[k] && limits[k] <= edge.high) targets.push_back(edge.target);
      if (targets.empty()) continue;
      std::sort(targets.begin(), targets.end());
      targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
      const int32_t target = number(targets, false);
      const auto low = static_cast<uint8_t>(limits[k]), high = static_cast<uint8_t>(limits[k + 1] - 1);
      if (!edges.empty() && edges.back().target == target && edges.back().high + 1 == low)
        edges.back().high = high;
      else
        edges.push_back({low, high, target});
    }
    dfa_.states[i].edges = std::move(edges);
  }

  const Nfa& nfa_;
  const int32_t accept_;
  Work& work_;
  Dfa dfa_;
  std::map<std::pair<Set, bool>, int32_t> numbers_;
  std::vector<Set> sets_;
  std::vector<uint32_t> seen_;
  uint32_t round_ = 0;
};

}  // namespace

Dfa dfa_of_regex(const Regex& regex, Match match, Work& work) {
  Nfa nfa(work);
  const int32_t start = nfa.add_state();
  auto skip_any = [&](int32_t state) {
    if (match == Match::within) nfa.add_chars(CharSet::all(), state, state);
  };
  skip_any(start);
  const int32_t begin = nfa.add_state();
  nfa.at(start).free.push_back(begin);
  const int32_t end = nfa.add(regex, begin);
  const int32_t accept = nfa.add_state();
  nfa.at(end).free.push_back(accept);
  skip_any(accept);
  return Determinize(nfa, accept, work).run(start);
}

Dfa dfa_of_regex(std::string_view text, Match match, Work& work) {
  return dfa_of_regex(parse_regex(text), match, work);
}

}  // namespace aviary::grammar
