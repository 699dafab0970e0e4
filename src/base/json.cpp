#include "base/json.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace aviary {

nlohmann::json parse_json(std::string_view text, std::string_view where) {
  using Json = nlohmann::json;
  constexpr int deepest = 16;
  auto watch = [&](int depth, Json::parse_event_t, Json&) {
    require(depth <= deepest, "{}: the JSON is nested more than {} deep", where, deepest);
    return true;
  };
  Json json = Json::parse(text.begin(), text.end(), watch, false);
  require(!json.is_discarded(), "{}: it is no valid JSON (is the file cut off?)", where);
  return json;
}

}  // namespace aviary
