// Time and memory per token over a long text, one token after the other.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "models/run.h"

namespace aviary {

struct LongRun {
  int64_t tokens = 0;  // of an interval
  // Of every interval: the mean seconds per token, those of its fastest hundred tokens, which other programs
  // disturb least, and at its end the memory of the process.
  std::vector<double> seconds, fastest, memory_bytes;
};

// Decodes `tokens` random tokens in `intervals` intervals. Ends early when `progress`, called with the tokens
// done, returns false.
LongRun run_long(Runner& runner, int64_t tokens, int64_t intervals,
                 const std::function<bool(int64_t)>& progress = {});

// The two curves as SVG texts: microseconds per token, and MiB, against the tokens read.
std::string plot_time(const LongRun& run);
std::string plot_memory(const LongRun& run);

}  // namespace aviary
