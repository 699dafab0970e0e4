// The known name that a mistyped one probably means.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace aviary {

// The number of letters that must be inserted, left out, replaced, or exchanged with their neighbor to turn
// one word into the other.
int edit_distance(std::string_view a, std::string_view b);

// Of `names`, the one most similar to `word`, or one that begins with it or whose last word it is
// ("--version" of "--model-version"); empty if none is similar. Dashes at the beginning do not count.
std::string nearest(std::string_view word, std::span<const std::string> names);

}  // namespace aviary
