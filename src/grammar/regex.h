// Regular expressions in the syntax of ECMAScript with the flag u, as JSON Schema's `pattern` uses them,
// without what is not regular or not local: back references, look-around, \b, \p{...} and flags are refused
// by name.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "grammar/char_set.h"
#include "grammar/dfa.h"
#include "grammar/work.h"

namespace aviary::grammar {

struct Regex {
  enum class Kind : uint8_t { chars, sequence, choice, repeat, text_begin, text_end };
  Kind kind = Kind::sequence;     // an empty sequence matches the empty text
  CharSet set = {};               // of chars
  std::vector<Regex> parts = {};  // of sequence, choice and repeat (one part)
  int32_t least = 0, most = -1;   // of repeat; most < 0: no limit
};

// Throws Error, naming the position, for bad syntax and for what is not supported.
Regex parse_regex(std::string_view text);

// The texts that match as a whole, or those that contain a match, as `pattern` asks. All texts are UTF-8.
enum class Match : uint8_t { whole, within };
Dfa dfa_of_regex(const Regex& regex, Match match, Work& work);
Dfa dfa_of_regex(std::string_view text, Match match, Work& work);

}  // namespace aviary::grammar
