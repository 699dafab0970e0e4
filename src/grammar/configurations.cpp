#include "grammar/configurations.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace aviary::grammar {
namespace {

void mix(size_t& hash, int32_t value) {
  hash = (hash ^ static_cast<uint32_t>(value)) * 0x9e3779b97f4a7c15u;
  hash ^= hash >> 29;
}

}  // namespace

size_t Configurations::Hash::operator()(const Frame& frame) const {
  size_t hash = 1;
  mix(hash, frame.state);
  mix(hash, frame.count);
  mix(hash, frame.below);
  return hash;
}

size_t Configurations::Hash::operator()(const Configuration& configuration) const {
  size_t hash = configuration.may_end ? 3 : 2;
  for (const Place& place : configuration.places) {
    mix(hash, place.state);
    mix(hash, place.frame);
  }
  return hash;
}

Configurations::Configurations(const Automaton& automaton) : automaton_(automaton) {
  number_of({});  // dead
  rows_.front() = std::make_unique<Row>();
  rows_.front()->fill(dead);
  reach({automaton.rule(automaton.root()).start, 0, -1});
  start_ = take_reached();
}

int32_t Configurations::frame_of(const Frame& frame) {
  const auto [place, fresh] = frame_numbers_.emplace(frame, static_cast<int32_t>(frames_.size()));
  if (fresh) {
    frames_.push_back(frame);
    memory_ += 64;
  }
  return place->second;
}

int32_t Configurations::number_of(Configuration configuration) {
  const auto known = numbers_.find(configuration);
  if (known != numbers_.end()) return known->second;
  const auto number = static_cast<int32_t>(all_.size());
  memory_ += 128 + 16 * std::ssize(configuration.places);
  all_.push_back(configuration);
  rows_.emplace_back();
  numbers_.emplace(std::move(configuration), number);
  return number;
}

void Configurations::reach(const Frame& from) {
  // Most configurations have few places.
  constexpr size_t few = 24;
  if (queue_.size() < few) {
    if (std::find(queue_.begin(), queue_.end(), from) != queue_.end()) return;
  } else {
    if (reached_.empty())
      for (const Frame& known : queue_) reached_.emplace(known, true);
    if (!reached_.emplace(from, true).second) return;
  }
  require(queue_.size() < 16 * most_places,
          "grammar: it is too ambiguous here: the text can be read in more than {} ways", 16 * most_places);
  queue_.push_back(from);
}

// Reads a rule, and then what `after` says.
void Configurations::enter(int32_t rule, Frame after) {
  const bool returns = !automaton_.state(after.state).only_end;
  reach({automaton_.rule(rule).start, 0, returns ? frame_of(after) : after.below});
}

void Configurations::follow(const Frame& here) {
  const Automaton::State& state = automaton_.state(here.state);
  if (state.end) {
    if (here.below < 0)
      ends_ = true;
    else
      reach(Frame(frames_[static_cast<size_t>(here.below)]));
  }
  if (state.body >= 0) {
    const bool limited = state.most != Automaton::no_limit;
    // Without a limit, rounds beyond the minimum are not counted.
    const int32_t count = limited ? here.count + 1 : std::min(here.count + 1, state.least);
    if (!limited || here.count < state.most) enter(state.body, {here.state, count, here.below});
    if (here.count < state.least) return;
  }
  for (const int32_t target : state.free) reach({target, 0, here.below});
  for (const Automaton::Call& call : state.calls) enter(call.rule, {call.target, 0, here.below});
}

int32_t Configurations::take_reached() {
  Configuration configuration;
  for (size_t i = 0; i < queue_.size(); ++i) {
    const Frame here = queue_[i];
    follow(here);
    if (!automaton_.state(here.state).bytes.empty()) configuration.places.push_back({here.state, here.below});
  }
  configuration.may_end = ends_;
  if (!reached_.empty()) reached_.clear();
  queue_.clear();
  ends_ = false;
  std::sort(configuration.places.begin(), configuration.places.end());
  const auto end = std::unique(configuration.places.begin(), configuration.places.end());
  configuration.places.erase(end, configuration.places.end());
  require(configuration.places.size() <= most_places,
          "grammar: it is too ambiguous here: the text can be read in more than {} ways", most_places);
  return number_of(std::move(configuration));
}

int32_t Configurations::compute(int32_t configuration, uint8_t byte) {
  // The range of bytes around this one that lead to the same places.
  uint8_t low = 0, high = 255;
  queue_.clear();
  if (!reached_.empty()) reached_.clear();
  ends_ = false;
  for (const Place& place : all_[static_cast<size_t>(configuration)].places) {
    for (const Dfa::Edge& edge : automaton_.state(place.state).bytes) {
      if (edge.high < byte) {
        low = std::max(low, static_cast<uint8_t>(edge.high + 1));
      } else if (edge.low > byte) {
        high = std::min(high, static_cast<uint8_t>(edge.low - 1));
      } else {
        low = std::max(low, edge.low);
        high = std::min(high, edge.high);
        reach({edge.target, 0, place.frame});
      }
    }
  }
  const int32_t target = take_reached();
  std::unique_ptr<Row>& row = rows_[static_cast<size_t>(configuration)];
  if (!row) {
    row = std::make_unique<Row>();
    row->fill(unknown);
    memory_ += static_cast<int64_t>(sizeof(Row));
  }
  std::fill(row->begin() + low, row->begin() + high + 1, target);
  return target;
}

int32_t Configurations::only_byte(int32_t configuration) const {
  const Configuration& here = all_[static_cast<size_t>(configuration)];
  if (here.may_end) return -1;
  int32_t byte = -1;
  for (const Place& place : here.places) {
    for (const Dfa::Edge& edge : automaton_.state(place.state).bytes) {
      if (edge.low != edge.high || (byte >= 0 && byte != edge.low)) return -1;
      byte = edge.low;
    }
  }
  return byte;
}

int32_t Configurations::frame_without_far_counts(int32_t frame, int32_t bytes) {
  if (frame < 0) return frame;
  std::vector<Frame> path;  // from the top
  for (int32_t at = frame; at >= 0; at = path.back().below) path.push_back(frames_[static_cast<size_t>(at)]);
  int32_t below = -1;
  for (size_t i = path.size(); i-- > 0;) {
    Frame copy = path[i];
    const Automaton::State& state = automaton_.state(copy.state);
    const bool far_from_most = state.most == Automaton::no_limit || state.most - copy.count > bytes;
    if (state.body >= 0 && far_from_most) {
      if (copy.count >= state.least)
        copy.count = state.least;
      else if (state.least - copy.count > bytes)
        copy.count = 0;
    }
    copy.below = below;
    below = frame_of(copy);
  }
  return below;
}

int32_t Configurations::without_far_counts(int32_t configuration, int32_t bytes) {
  Configuration copy = all_[static_cast<size_t>(configuration)];
  for (Place& place : copy.places) place.frame = frame_without_far_counts(place.frame, bytes);
  std::sort(copy.places.begin(), copy.places.end());
  copy.places.erase(std::unique(copy.places.begin(), copy.places.end()), copy.places.end());
  return number_of(std::move(copy));
}

int32_t Configurations::import(const Configurations& other, int32_t configuration) {
  Configuration copy = other.all_[static_cast<size_t>(configuration)];
  for (Place& place : copy.places) {
    std::vector<Frame> path;  // from the top
    for (int32_t at = place.frame; at >= 0; at = path.back().below)
      path.push_back(other.frames_[static_cast<size_t>(at)]);
    int32_t below = -1;
    for (size_t i = path.size(); i-- > 0;) {
      path[i].below = below;
      below = frame_of(path[i]);
    }
    place.frame = below;
  }
  std::sort(copy.places.begin(), copy.places.end());
  return number_of(std::move(copy));
}

}  // namespace aviary::grammar
