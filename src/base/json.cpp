#include "base/json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/quotes.h"

namespace aviary {
namespace {

// Every key of an ordered object is compared with those before it: the comparisons of one text.
constexpr int64_t most_comparisons = int64_t{1} << 25;

template <typename Json>
Json parse(std::string_view text, std::string_view where, Keys keys, int deepest) {
  const auto depths = static_cast<size_t>(deepest) + 2;
  std::vector<std::set<std::string>> seen(depths);  // the keys of the open object of each depth
  std::vector<int64_t> members(depths);             // and their number
  int64_t comparisons = 0;
  auto watch = [&](int depth, typename Json::parse_event_t event, Json& value) {
    require(depth <= deepest, "{}: the JSON is nested more than {} deep", where, deepest);
    if (event == Json::parse_event_t::object_start) members[static_cast<size_t>(depth) + 1] = 0;
    if (std::is_same_v<Json, nlohmann::ordered_json> && event == Json::parse_event_t::key) {
      comparisons += members[static_cast<size_t>(depth)]++;
      require(comparisons <= most_comparisons, "{}: the objects of the JSON have too many members", where);
    }
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

nlohmann::json parse_json(std::string_view text, std::string_view where, Keys keys, int deepest) {
  return parse<nlohmann::json>(text, where, keys, deepest);
}

nlohmann::json parse_short_json(std::string_view text, std::string_view where) {
  constexpr size_t most = size_t{1} << 20;
  require(text.size() <= most, "{}: the JSON has {} bytes, expected at most {}", where, text.size(), most);
  return parse_json(text, where);
}

nlohmann::ordered_json parse_ordered_json(std::string_view text, std::string_view where, int deepest) {
  return parse<nlohmann::ordered_json>(text, where, Keys::last_counts, deepest);
}

std::optional<nlohmann::json> try_parse_json(std::string_view text) {
  try {
    return parse_json(text, "");
  } catch (const Error&) {
    return {};
  }
}

}  // namespace aviary
