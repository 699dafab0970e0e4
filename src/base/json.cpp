#include "base/json.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace aviary {
namespace {

template <typename Json>
Json parse(std::string_view text, std::string_view where) {
  constexpr int deepest = 16;
  auto watch = [&](int depth, typename Json::parse_event_t, Json&) {
    require(depth <= deepest, "{}: the JSON is nested more than {} deep", where, deepest);
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), watch);
  } catch (const typename Json::parse_error& error) {
    fail("{}: not valid JSON from byte {} on (is the file cut off?)", where, error.byte - 1);
  } catch (const typename Json::out_of_range&) {
    fail("{}: not valid JSON: a number is too large for any type", where);
  }
}

}  // namespace

nlohmann::json parse_json(std::string_view text, std::string_view where) {
  return parse<nlohmann::json>(text, where);
}

nlohmann::ordered_json parse_ordered_json(std::string_view text, std::string_view where) {
  return parse<nlohmann::ordered_json>(text, where);
}

std::optional<nlohmann::json> try_parse_json(std::string_view text) {
  try {
    return parse_json(text, "");
  } catch (const Error&) {
    return {};
  }
}

}  // namespace aviary
