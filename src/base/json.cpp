#include "base/json.h"

#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "base/error.h"
#include "base/quotes.h"

namespace aviary {
namespace {

template <typename Json>
Json parse(std::string_view text, std::string_view where, Keys keys = Keys::last_counts) {
  constexpr int deepest = 16;
  std::array<std::set<std::string>, deepest + 2> seen;  // the keys of the open object of each depth
  auto watch = [&](int depth, typename Json::parse_event_t event, Json& value) {
    require(depth <= deepest, "{}: the JSON is nested more than {} deep", where, deepest);
    if (keys == Keys::last_counts) return true;
    if (event == Json::parse_event_t::object_start) seen[static_cast<size_t>(depth) + 1].clear();
    if (event == Json::parse_event_t::key)
      require(seen[static_cast<size_t>(depth)].insert(value.template get<std::string>()).second,
              "{}: an object has the key {} twice", where, in_quotes(value.template get<std::string>()));
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), watch);
  } catch (const typename Json::parse_error& error) {
    fail("{}: not valid JSON from byte {} on{}", where, error.byte - 1,
         error.byte > text.size() ? " (is the file cut off?)" : "");
  } catch (const typename Json::out_of_range&) {
    fail("{}: not valid JSON: a number is too large for any type", where);
  }
}

}  // namespace

nlohmann::json parse_json(std::string_view text, std::string_view where, Keys keys) {
  return parse<nlohmann::json>(text, where, keys);
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
