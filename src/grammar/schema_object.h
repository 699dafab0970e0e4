// The members of a JSON object as a part of an automaton: declared ones in their order, then others.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "grammar/automaton.h"
#include "grammar/json_rules.h"

namespace aviary::grammar {

struct Member {
  std::string name;
  int32_t rule = 0;  // of its value
  bool required = false;
};
struct OtherMembers {
  std::optional<Dfa> keys;  // nothing: all
  int32_t rule = 0;
};

// Objects with these members, of which there are `least` to `most` (< 0: no limit). Keys beyond the declared
// ones may be written twice, so of them only one counts for `least`.
class ObjectRule {
 public:
  ObjectRule(Automaton& automaton, JsonRules& json) : automaton_(automaton), json_(json) {}

  std::vector<Member> members;
  std::vector<OtherMembers> others;
  int64_t least = 0, most = -1;

  // Throws Error, beginning with `path`, if the limits are too large.
  void add(int32_t start, int32_t end, const std::string& path);

 private:
  // The state before the key of a member, after `count` members (as far as they are counted).
  int32_t next_level(int32_t level) const { return std::min(level + 1, top_); }
  bool full(int32_t level) const { return most >= 0 && level >= most; }
  void add_declared();
  void add_others();
  void add_other(int32_t from, int32_t to);
  int32_t separated(int32_t from, int32_t level) { return level == 0 ? from : json_.comma(from); }

  Automaton& automaton_;
  JsonRules& json_;
  int32_t top_ = 1;                           // counts from here on are not told apart
  std::vector<std::vector<int32_t>> places_;  // [members decided on][count]: the state after the last of them
  std::vector<int32_t> complete_;             // [count]: states in which the object may end
};

}  // namespace aviary::grammar
