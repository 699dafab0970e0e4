// Untrusted names in messages.
#pragma once

#include <string>
#include <string_view>

namespace aviary {

// A name from a file, made safe for an error message: in quotes, at most 80 bytes, no control characters.
std::string in_quotes(std::string_view name);

}  // namespace aviary
