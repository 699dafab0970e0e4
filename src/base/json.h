// Reading JSON that a stranger wrote.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace aviary {

// Throws Error, with `where` in front, for what is no JSON in UTF-8 and for JSON that is nested more than 16
// deep, which would take much more memory than its text.
nlohmann::json parse_json(std::string_view text, std::string_view where);

}  // namespace aviary
