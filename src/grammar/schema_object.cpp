#include "grammar/schema_object.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace aviary::grammar {
namespace {

constexpr int64_t most_places = 100'000;

std::string key_text(const std::string& name) {
  return nlohmann::ordered_json(name).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

void ObjectRule::add(int32_t start, int32_t end, const std::string& path) {
  const auto declared = std::ssize(members);
  const auto required =
      std::count_if(members.begin(), members.end(), [](const Member& one) { return one.required; });
  if (least <= required) least = 0;
  if (most >= declared && others.empty()) most = -1;
  if (least > declared + (others.empty() ? 0 : 1)) {
    require(
        others.empty(),
        "{}: 'minProperties' {} is not supported with {} declared properties, since other keys may be equal",
        path, least, declared);
    return;  // no instance
  }
  const int64_t levels = std::max<int64_t>({1, least, most});
  require((declared + 1) * (levels + 1) <= most_places,
          "{}: 'minProperties' {} or 'maxProperties' {} is not supported with {} properties", path, least,
          most, declared);
  top_ = static_cast<int32_t>(levels);
  const int32_t inside = json_.open(start, '{');
  places_.assign(members.size() + 1, std::vector<int32_t>(static_cast<size_t>(top_) + 1));
  for (std::vector<int32_t>& row : places_)
    for (int32_t& place : row) place = automaton_.add_state();
  complete_.clear();
  for (int32_t level = 0; level <= top_; ++level) complete_.push_back(automaton_.add_state());
  automaton_.add_free(inside, places_[0][0]);
  add_declared();
  add_others();
  automaton_.add_free(automaton_.add_text(complete_[0], "}"), end);
  const int32_t written = automaton_.add_state();
  for (size_t level = 1; level < complete_.size(); ++level) automaton_.add_free(complete_[level], written);
  automaton_.add_free(json_.close(written, '}'), end);
}

void ObjectRule::add_declared() {
  for (size_t i = 0; i < members.size(); ++i) {
    const Member& member = members[i];
    std::map<int32_t, int32_t> keys;  // by the count after it: the state before the key
    for (int32_t level = 0; level <= top_; ++level) {
      const int32_t here = places_[i][static_cast<size_t>(level)];
      if (!member.required) automaton_.add_free(here, places_[i + 1][static_cast<size_t>(level)]);
      if (full(level)) continue;
      const int32_t after = next_level(level);
      const auto [place, fresh] = keys.emplace(after, 0);
      if (fresh) {
        place->second = automaton_.add_state();
        const int32_t key = automaton_.add_text(place->second, key_text(member.name));
        automaton_.add_call(json_.colon(key), member.rule, places_[i + 1][static_cast<size_t>(after)]);
      }
      automaton_.add_free(separated(here, level), place->second);
    }
  }
}

void ObjectRule::add_other(int32_t from, int32_t to) {
  for (const OtherMembers& other : others) {
    const int32_t key =
        other.keys ? json_.text(from, *other.keys) : automaton_.add_call(from, json_.any_string());
    automaton_.add_call(json_.colon(key), other.rule, to);
  }
}

void ObjectRule::add_others() {
  const std::vector<int32_t>& declared = places_.back();
  std::map<int32_t, int32_t> keys;  // by the count after it: the state before the key
  auto read_other = [&](int32_t from, int32_t level) {
    if (others.empty() || full(level)) return;
    const int32_t after = next_level(level);
    const auto [place, fresh] = keys.emplace(after, 0);
    if (fresh) {
      place->second = automaton_.add_state();
      add_other(place->second, complete_[static_cast<size_t>(after)]);
    }
    automaton_.add_free(separated(from, level), place->second);
  };
  for (int32_t level = 0; level <= top_; ++level) {
    const int32_t here = declared[static_cast<size_t>(level)],
                  complete = complete_[static_cast<size_t>(level)];
    if (level >= least)
      automaton_.add_free(here, complete);
    else if (level + 1 == least)
      read_other(here, level);
    if (level >= least) read_other(complete, level);
  }
}

}  // namespace aviary::grammar
