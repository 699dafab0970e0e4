#include "infer/stop_matcher.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace aviary {

StopMatcher::StopMatcher(std::vector<std::string> stops) {
  for (std::string& text : stops) {
    require(!text.empty(), "stop string {} of {} is empty", stops_.size() + 1, stops.size());
    std::vector<size_t> border(text.size() + 1, 0);
    for (size_t i = 1, length = 0; i < text.size(); ++i) {
      while (length > 0 && text[i] != text[length]) length = border[length];
      if (text[i] == text[length]) ++length;
      border[i + 1] = length;
    }
    stops_.push_back({std::move(text), std::move(border)});
  }
}

std::string StopMatcher::push(std::string_view text) {
  if (matched()) return {};
  size_t longest = 0;  // bytes at the end of held_ that may be the beginning of a stop string
  for (char c : text) {
    held_ += c;
    longest = 0;
    for (size_t i = 0; i < stops_.size(); ++i) {
      auto& [stop, border, found] = stops_[i];
      while (found > 0 && stop[found] != c) found = border[found];
      if (stop[found] == c) ++found;
      if (found == stop.size() && stop.size() > matched_stop().size()) match_ = static_cast<int>(i);
      longest = std::max(longest, found);
    }
    if (matched()) {
      held_.resize(held_.size() - matched_stop().size());
      return std::exchange(held_, {});
    }
  }
  if (text.empty()) return {};
  std::string safe = held_.substr(0, held_.size() - longest);
  held_.erase(0, safe.size());
  return safe;
}

std::string StopMatcher::flush() {
  for (Stop& stop : stops_) stop.found = 0;
  return std::exchange(held_, {});
}

std::string_view StopMatcher::matched_stop() const {
  return matched() ? std::string_view(stops_[static_cast<size_t>(match_)].text) : std::string_view();
}

}  // namespace aviary
