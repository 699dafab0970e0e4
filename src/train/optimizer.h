// AdamW over a model's table of parameters: Loshchilov and Hutter 2019, arXiv 1711.05101.
#pragma once

#include <vector>

#include "models/model.h"

namespace aviary {

struct OptimizerOptions {
  double beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8;
  double weight_decay = 0;             // for parameters whose spec says so
  double clip = 1;                     // largest norm of the gradient; 0: no clipping
  std::vector<std::string> only = {};  // names of the parameters that are trained; empty: all of them
};

class Optimizer {
 public:
  // Makes the parameters that are trained trainable, and no others.
  Optimizer(Model& model, const OptimizerOptions& options);

  // One update from the gathered gradients, which become zero. Each parameter moves at learning_rate times
  // its own scale. Returns the norm of the gradient before clipping. Without a finite norm nothing changes
  // but the gradients.
  double step(double learning_rate);

  int64_t steps() const { return steps_; }
  const OptimizerOptions& options() const { return options_; }

  // The moments, for checkpoints: "m.<parameter>" and "v.<parameter>".
  struct Moment {
    std::string name;
    Tensor values;
  };
  std::vector<Moment> moments() const;
  void set_steps(int64_t steps) { steps_ = steps; }

 private:
  // A parameter that is trained, and its moments.
  struct Trained {
    Parameter& parameter;
    OwnedTensor m, v;
  };

  OptimizerOptions options_;
  std::vector<Trained> trained_;  // in the order of the table
  int64_t steps_ = 0;
};

}  // namespace aviary
