// What a token costs after so many tokens of context.
#pragma once

#include <functional>
#include <optional>
#include <span>

#include "models/run.h"

namespace aviary {

struct GenerationTime {
  int64_t context = 0;  // tokens that were read before the ones that were timed
  double seconds = 0;   // per token, the median of some; one sequence alone
};

// Reads `context` tokens of `text` (again from its beginning when it is shorter) and feeds at most `tokens`
// more one by one, fewer when they take long. Nothing when `go_on`, asked now and then, says no.
std::optional<GenerationTime> time_generation(Runner& runner, std::span<const int32_t> text, int64_t context,
                                              int64_t tokens = 64, const std::function<bool()>& go_on = {});

}  // namespace aviary
