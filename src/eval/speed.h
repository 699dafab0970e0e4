// Measures the speed of a model, relative to the limits of the machine at the same time.
#pragma once

#include <functional>
#include <vector>

#include "kernels/peak.h"
#include "models/run.h"

namespace aviary {

struct SpeedRequest {
  int64_t prompt = 512;                // tokens read at once; 0: do not measure
  std::vector<int64_t> batches = {1};  // sequences that get a token each
  int rounds = 5;                      // the median of which is reported
  double seconds = 0.5;                // approximate time of one measurement in a round
};

// The median of the rounds. Shares are relative to the limits known in the round: the memory bandwidth
// measured just before or after, and the best peak of products measured so far.
struct Rate {
  int64_t batch = 0;
  double tokens_per_second = 0, share = 0;
};

struct Speed {
  kernels::MachinePeak peak{};               // the best of several measurements
  double read_rate = 0;                      // bytes/s, reading as much memory as the weights take
  int64_t weight_bytes = 0;                  // read per token: all weights except embedding tables
  int64_t stored_bytes = 0;                  // of all weights
  int64_t multiplications = 0, of_head = 0;  // of a token
  int64_t state_bytes = 0;                   // of a sequence
  Rate prompt;               // share of the peak of bf16 products, or of f32 where there are none
  std::vector<Rate> decode;  // share of the limit of memory or arithmetic
};

// `progress` is called with the completed share of the work, 0 to 1; if it returns false, the measurement
// ends with the results so far.
Speed measure_speed(Runner& runner, const SpeedRequest& request,
                    const std::function<bool(double)>& progress = {});

}  // namespace aviary
