// A grammar as a network of rules over bytes. A rule is a nondeterministic automaton whose edges read a byte,
// read nothing, or read what another rule describes; a loop state reads what a rule describes a bounded
// number of times.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/char_set.h"
#include "grammar/dfa.h"
#include "grammar/work.h"

namespace aviary::grammar {

class Automaton {
 public:
  static constexpr int32_t no_limit = -1;

  struct Call {
    int32_t rule = 0, target = 0;  // the state after what the rule describes
  };
  struct State {
    std::vector<Dfa::Edge> bytes = {};
    std::vector<int32_t> free = {};
    std::vector<Call> calls = {};
    bool end = false;  // of its rule
    // Only the end of the rule can follow, so a call that returns here need not return at all.
    bool only_end = false;
    // A loop: `body` from `least` to `most` times, then `free`, which is one state.
    int32_t body = -1, least = 0, most = no_limit;
  };
  struct Rule {
    std::string name;
    int32_t start = 0, end = 0;
  };

  explicit Automaton(Work& work) : work_(&work) {}

  int32_t add_rule(std::string name);
  int32_t add_state();
  void add_bytes(int32_t from, uint8_t low, uint8_t high, int32_t to) {
    states_[static_cast<size_t>(from)].bytes.push_back({low, high, to});
  }
  void add_free(int32_t from, int32_t to) { states_[static_cast<size_t>(from)].free.push_back(to); }
  void add_call(int32_t from, int32_t rule, int32_t to) {
    states_[static_cast<size_t>(from)].calls.push_back({rule, to});
  }
  // These add what is read after `from`, and return the state after it.
  int32_t add_text(int32_t from, std::string_view text);
  int32_t add_chars(int32_t from, const CharSet& set);
  int32_t add_dfa(int32_t from, const Dfa& dfa);
  int32_t add_call(int32_t from, int32_t rule);
  // `most` = no_limit: any number of times.
  int32_t add_loop(int32_t from, int32_t rule, int32_t least, int32_t most);

  // Removes what leads to no text, checks the rules, and makes them ready. Throws Error, beginning with
  // `what`, if no text matches, or a rule begins with itself (left recursion), which would never read a byte.
  void finish(int32_t root, std::string_view what);

  int32_t root() const { return root_; }
  const State& state(int32_t number) const { return states_[static_cast<size_t>(number)]; }
  const Rule& rule(int32_t number) const { return rules_[static_cast<size_t>(number)]; }
  int64_t states() const { return std::ssize(states_); }
  int64_t rules() const { return std::ssize(rules_); }

  // Adds all rules of another automaton, which is finished; returns the number of its root here.
  int32_t add_rules_of(const Automaton& other);

 private:
  State& at(int32_t number) { return states_[static_cast<size_t>(number)]; }
  void remove_dead_ends();
  std::vector<bool> productive() const;
  std::vector<bool> may_be_empty() const;
  void check_loops(const std::vector<bool>& empty, std::string_view what) const;
  void check_left_recursion(const std::vector<bool>& empty, std::string_view what) const;
  std::vector<int32_t> rules_at_begin(int32_t rule, const std::vector<bool>& empty) const;
  void mark_only_end();

  Work* work_;  // until it is finished
  std::vector<State> states_;
  std::vector<Rule> rules_;
  int32_t root_ = -1;
};

}  // namespace aviary::grammar
