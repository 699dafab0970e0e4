// Measures the time per generated token after a context of given length.
#pragma once

#include <functional>
#include <optional>
#include <span>

#include "models/run.h"

namespace aviary {

struct GenerationTime {
  int64_t context = 0;  // tokens read before the timed ones
  double seconds = 0;   // per token, the median of several; a single sequence
};

// Reads `context` tokens of `text` (repeating it if it is shorter) and then at most `tokens` more one by one,
// fewer if they take long. Returns nothing if `go_on`, called regularly, returns false.
std::optional<GenerationTime> time_generation(Runner& runner, std::span<const int32_t> text, int64_t context,
                                              int64_t tokens = 64, const std::function<bool()>& go_on = {});

}  // namespace aviary
