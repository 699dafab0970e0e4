// Limits on the work of compiling a grammar, counted in states so that the answer never depends on the clock.
#pragma once

#include <cstdint>

#include "base/error.h"

namespace aviary::grammar {

class Work {
 public:
  static constexpr int64_t most_states = 3'000'000;       // made during one compilation, about a second
  static constexpr int64_t most_states_at_once = 60'000;  // of one deterministic automaton

  // Counts states that were made. Throws Error beyond the limit.
  void spend(int64_t states) {
    spent_ += states;
    require(spent_ <= most_states,
            "grammar: compiling it takes more than {} states; make it smaller (fewer alternatives, smaller "
            "counts "
            "of repetitions)",
            most_states);
  }
  int64_t spent() const { return spent_; }

 private:
  int64_t spent_ = 0;
};

}  // namespace aviary::grammar
