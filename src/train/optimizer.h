// Updates the parameters of a model from their accumulated gradients, group by group.
#pragma once

#include <vector>

#include "models/model.h"
#include "train/update_rule.h"

namespace aviary {

class Optimizer {
 public:
  // Makes the parameters of the groups trainable, and all others of the model not; their gradients are views
  // of one buffer of this Optimizer, whose destructor makes them untrainable again. clip: the largest norm of
  // the gradient; 0: no clipping. Throws Error for a parameter that is in two groups.
  Optimizer(Model& model, std::vector<ParameterGroup> groups, double clip);
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;
  ~Optimizer();

  // One update from the accumulated gradients, which are then zeroed. The rate of a parameter is
  // learning_rate times the scale of its group and its own scale. Returns the norm of the gradient before
  // clipping. If the norm is not finite, only the gradients change.
  double step(double learning_rate);

  // The gradients of all trained parameters [count], in the order of the model's parameter table, with zeros
  // between them for alignment.
  Tensor gradients() const { return gradients_.view(); }

  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

  // The moments, for checkpoints: "m.<parameter>" and "v.<parameter>" of AdamW.
  struct Moment {
    std::string name;
    Tensor values;
  };
  std::vector<Moment> moments() const;

 private:
  // A trained parameter and its moments.
  struct Trained {
    Parameter* parameter;
    const ParameterGroup* group;
    std::vector<std::string> names;
    std::vector<OwnedTensor> memory;
    std::vector<Tensor> moments;  // in memory
  };

  std::vector<ParameterGroup> groups_;
  double clip_;
  std::vector<Trained> trained_;  // in the order of the parameter table
  OwnedTensor gradients_;
  int64_t steps_ = 0;
};

}  // namespace aviary
