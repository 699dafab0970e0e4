// How many columns of a terminal a text takes.
#pragma once

#include <string_view>

namespace aviary {

// Of one line without escape sequences: 2 for wide characters (East Asian, most emoji), 0 for combining and
// control characters, 1 for bytes that are not UTF-8.
int display_width(std::string_view text);

}  // namespace aviary
