// llama.cpp's grammar syntax (GBNF).
#pragma once

#include <string_view>

#include "grammar/automaton.h"

namespace aviary::grammar {

// Adds the rules; returns the rule `root`. Throws Error, naming line and column.
int32_t add_gbnf(Automaton& automaton, std::string_view text);

}  // namespace aviary::grammar
