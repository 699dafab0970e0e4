// The deterministic automaton that a grammar's network of rules stands for, made while it is used. A
// configuration is the set of all places in the rules where the text read so far may be, each with the calls
// that it will return from. Equal configurations have equal numbers, so that transitions and masks are
// computed once per configuration.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "grammar/automaton.h"

namespace aviary::grammar {

class Configurations {
 public:
  static constexpr int32_t dead = 0;  // no text goes on from here
  // Places in one configuration; a grammar that is more ambiguous than that is an Error.
  static constexpr size_t most_places = 4096;

  // The automaton must be finished, and outlive it.
  explicit Configurations(const Automaton& automaton);

  int32_t start() const { return start_; }
  // The configuration after this byte, `dead` if the grammar does not allow it. Throws Error if the grammar
  // is too ambiguous.
  int32_t next(int32_t configuration, uint8_t byte) {
    const Row* row = rows_[static_cast<size_t>(configuration)].get();
    const int32_t known = row ? (*row)[byte] : unknown;
    return known != unknown ? known : compute(configuration, byte);
  }
  bool may_end(int32_t configuration) const { return all_[static_cast<size_t>(configuration)].may_end; }
  // Whether any byte can follow.
  bool goes_on(int32_t configuration) const {
    return !all_[static_cast<size_t>(configuration)].places.empty();
  }
  // The byte that must follow; -1: there are several, or none, or the text may end.
  int32_t only_byte(int32_t configuration) const;

  // A configuration in which the next `bytes` bytes are judged as in this one, the same for all counts of
  // repetitions that are far from their limits. May be itself.
  int32_t without_far_counts(int32_t configuration, int32_t bytes);
  // The number here of a configuration of another object of the same automaton.
  int32_t import(const Configurations& other, int32_t configuration);

  int64_t size() const { return std::ssize(all_); }
  // About so many bytes are in use.
  int64_t memory() const { return memory_; }

 private:
  static constexpr int32_t unknown = -1;

  // What follows after a rule: a state, for a loop the number of its rounds so far, and the frame below.
  struct Frame {
    int32_t state = 0, count = 0, below = -1;
    bool operator==(const Frame&) const = default;
  };
  struct Place {
    int32_t state = 0, frame = -1;
    auto operator<=>(const Place&) const = default;
  };
  struct Configuration {
    std::vector<Place> places;  // sorted; states that read bytes
    bool may_end = false;
    bool operator==(const Configuration&) const = default;
  };
  struct Hash {
    size_t operator()(const Frame& frame) const;
    size_t operator()(const Configuration& configuration) const;
  };
  using Row = std::array<int32_t, 256>;

  int32_t frame_of(const Frame& frame);
  int32_t number_of(Configuration configuration);
  int32_t compute(int32_t configuration, uint8_t byte);
  // Adds the places that are reached from here without a byte.
  void reach(const Frame& from);
  void follow(const Frame& here);
  void enter(int32_t rule, Frame after);
  // The configuration of all that was reached since the last call.
  int32_t take_reached();
  int32_t frame_without_far_counts(int32_t frame, int32_t bytes);

  const Automaton& automaton_;
  std::vector<Frame> frames_;
  std::unordered_map<Frame, int32_t, Hash> frame_numbers_;
  std::vector<Configuration> all_;
  std::unordered_map<Configuration, int32_t, Hash> numbers_;
  std::vector<std::unique_ptr<Row>> rows_;
  int32_t start_ = dead;
  int64_t memory_ = 0;

  // Of the configuration being computed.
  std::vector<Frame> queue_;  // places, with the count of a loop
  std::unordered_map<Frame, bool, Hash> reached_;
  bool ends_ = false;
};

}  // namespace aviary::grammar
