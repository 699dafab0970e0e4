// Updates the parameters of a model from their accumulated gradients, group by group.
#pragma once

#include <vector>

#include "models/model.h"
#include "train/update_rule.h"

namespace aviary {

class Optimizer {
 public:
  // Makes the weights of the groups trainable, and all other parameters of the model not; their gradients are
  // views of one buffer of this Optimizer, whose destructor makes them untrainable again. The order is that
  // of the model's parameter table, followed by weights outside it (adapters, first states) in the order of
  // the groups. clip: the largest norm of the gradient; 0: no clipping. Throws Error for a weight that is in
  // two groups.
  Optimizer(Model& model, std::vector<ParameterGroup> groups, double clip);
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;
  ~Optimizer();

  // One update from the accumulated gradients, which are then zeroed. The rate of a parameter is
  // learning_rate times the scale of its group and its own scale, its decay that of its group times
  // weight_decay_scale. Returns the norm of the gradient before clipping. If the norm is not finite, only the
  // gradients change.
  double step(double learning_rate, double weight_decay_scale = 1);

  // If the last step was not finite: the parameter whose gradient, from the output back, was the first that
  // was not.
  const std::string& not_finite() const { return not_finite_; }

  // From now on: another bound of the norm.
  void set_clip(double clip) { clip_ = clip; }

  // Zeros the gradients that were accumulated.
  void forget_gradients() { set_zero(gradients_.view()); }
  // The gradients of all trained weights [count], in order, with zeros between them for alignment.
  Tensor gradients() const { return gradients_.view(); }

  // All trained weights, in order.
  std::vector<TrainedWeight> weights() const;

  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

  // The moments, for checkpoints: "m.<name>" and "v.<name>" of AdamW.
  struct Moment {
    std::string name;
    Tensor values;
  };
  std::vector<Moment> moments() const;

 private:
  // A trained weight and its moments.
  struct Trained {
    TrainedWeight of;
    const ParameterGroup* group;
    std::vector<std::string> names;
    std::vector<OwnedTensor> memory;
    std::vector<Tensor> moments;  // in memory
  };

  std::vector<ParameterGroup> groups_;
  double clip_;
  std::vector<Trained> trained_;
  OwnedTensor gradients_;
  std::string not_finite_;
  int64_t steps_ = 0;
};

}  // namespace aviary
