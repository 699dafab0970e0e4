// The one place that parses JSON: no other file may call a parser of nlohmann::json.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

namespace aviary {

// JSON in UTF-8. Throws Error, with `where` in front, for text that is not JSON and for JSON that is nested
// more than 16 deep: a text of nothing but "[" would take 70 times its size in memory.
nlohmann::json parse_json(std::string_view text, std::string_view where);

// The same; the members of objects keep the order in which they are written.
nlohmann::ordered_json parse_ordered_json(std::string_view text, std::string_view where);

// The same without an error: nothing for what parse_json refuses.
std::optional<nlohmann::json> try_parse_json(std::string_view text);

}  // namespace aviary
