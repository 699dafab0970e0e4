// The parts of JSON as rules of an automaton, in one form of white space.
#pragma once

#include <cstdint>
#include <string>

#include "grammar/automaton.h"
#include "grammar/dfa.h"
#include "grammar/grammar.h"

namespace aviary::grammar {

// The digits of a number about which something is said, unless a bound has more: other programs hold it in
// double precision, in which numbers of 15 digits differ.
inline constexpr int32_t usual_digits = 15;
// The digits of any number, and those before the point: enough for 64 bits.
inline constexpr int32_t most_digits = 25, most_whole_digits = 19;

class JsonRules {
 public:
  JsonRules(Automaton& automaton, WhiteSpace form, Work& work)
      : automaton_(automaton), form_(form), work_(work) {}

  // These add what is read after `from`, and return the state after it.
  int32_t open(int32_t from, char bracket);   // and the white space after it
  int32_t close(int32_t from, char bracket);  // after white space
  int32_t comma(int32_t from);
  int32_t colon(int32_t from);
  // A string whose value is one of these texts; characters are spelled as they are, or as JSON must escape
  // them.
  int32_t text(int32_t from, const Dfa& values);
  // Any string of `least` to `most` characters (< 0: no limit), with all of JSON's escapes.
  int32_t any_text(int32_t from, int64_t least, int64_t most);

  // Numbers of rules.
  int32_t any_value();
  int32_t any_object();
  int32_t any_array();
  int32_t any_string();
  int32_t any_number();
  int32_t any_integer();

 private:
  int32_t white_space();
  int32_t character();
  void add_character(int32_t from, int32_t to);
  // A rule that is made when it is first needed; `fill` adds its parts between start and end.
  template <typename Fill>
  int32_t made(int32_t& rule, const char* name, Fill fill);

  Automaton& automaton_;
  const WhiteSpace form_;
  Work& work_;
  int32_t white_space_ = -1, blank_ = -1, character_ = -1, value_ = -1, object_ = -1, array_ = -1,
          string_ = -1, number_ = -1, integer_ = -1;
};

}  // namespace aviary::grammar
