// The rare step of ranks that otherwise train by themselves.
#pragma once

#include <string>
#include <vector>

#include "ranks/ranks.h"
#include "train/update_rule.h"
#include "train/worker_sum.h"

namespace aviary {

// DiLoCo (Douillard et al. 2023, arXiv 2311.08105): every rank trains a copy of the weights by itself. After
// a round of many steps, the mean of what the ranks have changed counts as a gradient, with which SGD with
// Nesterov's momentum moves the weights that the round began with. All ranks begin the next round with the
// same bits.
class OuterStep {
 public:
  // weights: float32, the same on all ranks, views of a buffer as those of an Optimizer are. rounded: changes
  // are added and sent as bfloat16.
  OuterStep(Ranks& ranks, std::vector<TrainedWeight> weights, double learning_rate, double momentum,
            bool rounded);

  // The weights as they are now are those that the round begins with.
  void begin_round();
  // Ends it and begins the next. gradients [count]: the buffer of the gradients of all weights, zero before
  // and afterwards. Throws Error if what the ranks have changed is not finite.
  void end_round(const Tensor& gradients);

  // For checkpoints: "outer.<name>" of every weight, with its shape.
  struct Momentum {
    std::string name;
    Tensor values;
  };
  std::vector<Momentum> momenta() const;

 private:
  struct Part {
    TrainedWeight of;
    OwnedTensor first, momentum;  // the weight at the beginning of the round
  };
  void add_up(const Tensor& gradients);

  Ranks& ranks_;
  std::vector<Part> parts_;
  double learning_rate_, momentum_;
  WorkerSum sum_;
};

}  // namespace aviary
