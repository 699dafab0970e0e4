#include "grammar/automaton.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"

namespace aviary::grammar {
namespace {

bool has(const std::vector<bool>& flags, int32_t i) { return flags[static_cast<size_t>(i)]; }

}  // namespace

int32_t Automaton::add_rule(std::string name) {
  const int32_t start = add_state(), end = add_state();
  at(end).end = true;
  rules_.push_back({.name = std::move(name), .start = start, .end = end});
  return static_cast<int32_t>(rules_.size()) - 1;
}

int32_t Automaton::add_state() {
  work_->spend(1);
  states_.emplace_back();
  return static_cast<int32_t>(states_.size()) - 1;
}

int32_t Automaton::add_text(int32_t from, std::string_view text) {
  for (const char byte : text) {
    const int32_t to = add_state();
    add_bytes(from, static_cast<uint8_t>(byte), static_cast<uint8_t>(byte), to);
    from = to;
  }
  return from;
}

int32_t Automaton::add_chars(int32_t from, const CharSet& set) {
  const int32_t to = add_state();
  add_utf8(
      set, from, to, [this] { return add_state(); },
      [this](int32_t before, ByteRange bytes, int32_t after) {
        add_bytes(before, bytes.low, bytes.high, after);
      });
  return to;
}

int32_t Automaton::add_dfa(int32_t from, const Dfa& dfa) {
  const int32_t to = add_state();
  if (dfa.empty()) return to;
  const auto first = static_cast<int32_t>(states_.size());
  for (size_t i = 0; i < dfa.states.size(); ++i) add_state();
  for (size_t i = 0; i < dfa.states.size(); ++i) {
    const int32_t here = first + static_cast<int32_t>(i);
    for (const Dfa::Edge& edge : dfa.states[i].edges)
      add_bytes(here, edge.low, edge.high, first + edge.target);
    if (dfa.states[i].accepting) add_free(here, to);
  }
  add_free(from, first);
  return to;
}

int32_t Automaton::add_call(int32_t from, int32_t rule) {
  const int32_t to = add_state();
  add_call(from, rule, to);
  return to;
}

int32_t Automaton::add_loop(int32_t from, int32_t rule, int32_t least, int32_t most) {
  const int32_t loop = add_state(), to = add_state();
  at(loop).body = rule;
  at(loop).least = least;
  at(loop).most = most;
  add_free(loop, to);
  add_free(from, loop);
  return to;
}

// Which states lead to the end of their rule.
std::vector<bool> Automaton::productive() const {
  std::vector<bool> good(states_.size());
  auto rule_is = [&](int32_t number) { return has(good, rules_[static_cast<size_t>(number)].start); };
  auto decide = [&](const State& state) {
    if (state.end) return true;
    if (state.body >= 0 && state.least > 0 && !rule_is(state.body)) return false;
    for (const Dfa::Edge& edge : state.bytes)
      if (has(good, edge.target)) return true;
    for (const int32_t target : state.free)
      if (has(good, target)) return true;
    for (const Call& call : state.calls)
      if (has(good, call.target) && rule_is(call.rule)) return true;
    return false;
  };
  for (bool changed = true; changed;) {
    changed = false;
    work_->spend(std::ssize(states_) / 64);
    for (size_t i = states_.size(); i-- > 0;) {
      if (good[i] || !decide(states_[i])) continue;
      good[i] = true;
      changed = true;
    }
  }
  return good;
}

void Automaton::remove_dead_ends() {
  const std::vector<bool> good = productive();
  for (State& state : states_) {
    std::erase_if(state.bytes, [&](const Dfa::Edge& edge) { return !has(good, edge.target); });
    std::erase_if(state.free, [&](int32_t target) { return !has(good, target); });
    std::erase_if(state.calls, [&](const Call& call) {
      return !has(good, call.target) || !has(good, rules_[static_cast<size_t>(call.rule)].start);
    });
    if (state.body >= 0 && !has(good, rules_[static_cast<size_t>(state.body)].start)) state.body = -1;
  }
}

// Which states reach the end of their rule without a byte.
std::vector<bool> Automaton::may_be_empty() const {
  std::vector<bool> empty(states_.size());
  auto rule_is = [&](int32_t number) { return has(empty, rules_[static_cast<size_t>(number)].start); };
  auto decide = [&](const State& state) {
    if (state.end) return true;
    if (state.body >= 0 && state.least > 0 && !rule_is(state.body)) return false;
    for (const int32_t target : state.free)
      if (has(empty, target)) return true;
    for (const Call& call : state.calls)
      if (has(empty, call.target) && rule_is(call.rule)) return true;
    return false;
  };
  for (bool changed = true; changed;) {
    changed = false;
    work_->spend(std::ssize(states_) / 64);
    for (size_t i = states_.size(); i-- > 0;) {
      if (empty[i] || !decide(states_[i])) continue;
      empty[i] = true;
      changed = true;
    }
  }
  return empty;
}

void Automaton::check_loops(const std::vector<bool>& empty, std::string_view what) const {
  constexpr int32_t most_empty = 64;
  for (const State& state : states_) {
    if (state.body < 0 || !has(empty, rules_[static_cast<size_t>(state.body)].start)) continue;
    require(std::max(state.least, state.most) <= most_empty,
            "{}: a part that may be empty is repeated up to {} times, at most {} are supported; let the part "
            "not be "
            "empty",
            what, std::max(state.least, state.most), most_empty);
  }
}

std::vector<int32_t> Automaton::rules_at_begin(int32_t rule, const std::vector<bool>& empty) const {
  std::vector<int32_t> called, queue{rules_[static_cast<size_t>(rule)].start};
  std::map<int32_t, bool> seen{{queue.front(), true}};
  auto reach = [&](int32_t state) {
    if (!std::exchange(seen[state], true)) queue.push_back(state);
  };
  for (size_t i = 0; i < queue.size(); ++i) {
    const State& here = state(queue[i]);
    auto begins = [&](int32_t number) {
      called.push_back(number);
      return has(empty, rules_[static_cast<size_t>(number)].start);
    };
    for (const Call& call : here.calls)
      if (begins(call.rule)) reach(call.target);
    const bool passes = here.body < 0 || begins(here.body) || here.least == 0;
    for (const int32_t target : here.free)
      if (passes) reach(target);
  }
  return called;
}

void Automaton::check_left_recursion(const std::vector<bool>& empty, std::string_view what) const {
  // Rules are removed that begin with no other remaining rule; what remains begins with itself.
  std::vector<std::vector<int32_t>> begun_by(rules_.size());
  std::vector<size_t> waits(rules_.size());
  std::vector<int32_t> free;
  for (size_t i = 0; i < rules_.size(); ++i) {
    const std::vector<int32_t> called = rules_at_begin(static_cast<int32_t>(i), empty);
    for (const int32_t other : called)
      begun_by[static_cast<size_t>(other)].push_back(static_cast<int32_t>(i));
    waits[i] = called.size();
    if (called.empty()) free.push_back(static_cast<int32_t>(i));
  }
  for (size_t i = 0; i < free.size(); ++i)
    for (const int32_t other : begun_by[static_cast<size_t>(free[i])])
      if (--waits[static_cast<size_t>(other)] == 0) free.push_back(other);
  for (size_t i = 0; i < rules_.size(); ++i)
    require(waits[i] == 0,
            "{}: the rule {} can begin with itself, or leads to one that does, before anything is read (left "
            "recursion); write it as a repetition",
            what, in_quotes(rules_[i].name));
}

void Automaton::mark_only_end() {
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = states_.size(); i-- > 0;) {
      State& state = states_[i];
      if (state.only_end || !state.bytes.empty() || !state.calls.empty() || state.body >= 0) continue;
      const bool leads_to_end =
          state.free.size() == 1 && states_[static_cast<size_t>(state.free.front())].only_end;
      if (!(state.end && state.free.empty()) && !leads_to_end) continue;
      state.only_end = changed = true;
    }
  }
}

void Automaton::finish(int32_t root, std::string_view what) {
  root_ = root;
  remove_dead_ends();
  require(has(productive(), rules_[static_cast<size_t>(root)].start), "{}: no text can match", what);
  const std::vector<bool> empty = may_be_empty();
  check_loops(empty, what);
  check_left_recursion(empty, what);
  mark_only_end();
  work_ = nullptr;
}

int32_t Automaton::add_rules_of(const Automaton& other) {
  const auto state_shift = static_cast<int32_t>(states_.size());
  const auto rule_shift = static_cast<int32_t>(rules_.size());
  work_->spend(other.states());
  for (State state : other.states_) {
    for (Dfa::Edge& edge : state.bytes) edge.target += state_shift;
    for (int32_t& target : state.free) target += state_shift;
    for (Call& call : state.calls)
      call = {.rule = call.rule + rule_shift, .target = call.target + state_shift};
    if (state.body >= 0) state.body += rule_shift;
    states_.push_back(std::move(state));
  }
  for (const Rule& rule : other.rules_)
    rules_.push_back({.name = rule.name, .start = rule.start + state_shift, .end = rule.end + state_shift});
  return other.root_ + rule_shift;
}

}  // namespace aviary::grammar
