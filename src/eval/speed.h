// How fast a model runs, beside what the machine can do at most at the same moment.
#pragma once

#include <functional>
#include <vector>

#include "kernels/peak.h"
#include "models/run.h"

namespace aviary {

struct SpeedRequest {
  int64_t prompt = 512;                // tokens read at once; 0: do not measure
  std::vector<int64_t> batches = {1};  // sequences that get a token each
  int rounds = 5;                      // of which the median counts
  double seconds = 0.5;                // of one measurement in a round, about
};

// The median of the rounds. A share is that of the limit known in the round: what memory gave just before or
// after, and the best peak of products measured so far.
struct Rate {
  int64_t batch = 0;
  double tokens_per_second = 0, share = 0;
};

struct Speed {
  kernels::MachinePeak peak{};               // the best of several measurements
  double read_rate = 0;                      // bytes/s of a memory as large as the weights
  int64_t weight_bytes = 0;                  // that a token reads: all but the tables of embeddings
  int64_t stored_bytes = 0;                  // of all weights
  int64_t multiplications = 0, of_head = 0;  // of a token
  int64_t state_bytes = 0;                   // of a sequence
  Rate prompt;               // share of the peak of bf16 products, or of f32 where there are none
  std::vector<Rate> decode;  // share of what reading the weights once a step, or the peak, allows
};

// `progress` is called with the part of the work that is done, 0 to 1; when it returns false, the measurement
// ends with what is there.
Speed measure_speed(Runner& runner, const SpeedRequest& request,
                    const std::function<bool(double)>& progress = {});

}  // namespace aviary
