// The only place that parses JSON: no other file may call a parser of nlohmann::json.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

namespace aviary {

// What becomes of an object with the same key twice: the last value counts, or it is an Error.
enum class Keys : uint8_t { last_counts, distinct };

// How deeply JSON may be nested: a text consisting only of "[" would need 70 times its size in memory.
inline constexpr int usual_json_depth = 16;

// Parses JSON in UTF-8. Throws Error, beginning with `where`, for text that is not JSON and for JSON nested
// more than `deepest` levels deep.
nlohmann::json parse_json(std::string_view text, std::string_view where, Keys keys = Keys::last_counts,
                          int deepest = usual_json_depth);

// The same for a text that says little, such as the settings of a model: also throws Error if it has more
// than 1 MiB, since parsed JSON may need 30 times its size in memory.
nlohmann::json parse_short_json(std::string_view text, std::string_view where);

// The same as parse_json; the members of objects keep their order in the text. Throws Error also for objects
// so large that finding members, which takes time in proportion to their number, would take long (about 8,000
// members).
nlohmann::ordered_json parse_ordered_json(std::string_view text, std::string_view where,
                                          int deepest = usual_json_depth);

// The same as parse_json without errors: nothing for text that parse_json rejects.
std::optional<nlohmann::json> try_parse_json(std::string_view text);

}  // namespace aviary
