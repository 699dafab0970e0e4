// The values of JSON Schema's `format` that describe a regular set of texts.
#pragma once

#include <optional>
#include <string_view>

#include "grammar/dfa.h"

namespace aviary::grammar {

// The texts of a format, or a large part of them (docs/grammars.md), never others; nothing for an unknown
// format.
std::optional<Dfa> dfa_of_format(std::string_view name, Work& work);
// A format of the specification that describes no regular set.
bool is_irregular_format(std::string_view name);

}  // namespace aviary::grammar
