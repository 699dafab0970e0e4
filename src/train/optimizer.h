// Updates the parameters of a model from their accumulated gradients, group by group.
#pragma once

#include <optional>
#include <vector>

#include "models/model.h"
#include "ranks/ranks.h"
#include "train/update_rule.h"
#include "train/worker_sum.h"

namespace aviary {

class Optimizer {
 public:
  // Makes the weights of the groups trainable, and all other parameters of the model not; their gradients are
  // views of one buffer of this Optimizer, whose destructor makes them untrainable again. The order is that
  // of the model's parameter table, followed by weights outside it (adapters, first states) in the order of
  // the groups. clip: the largest norm of the gradient; 0: no clipping. Each of several ranks has the moments
  // of its own shard of the weights, consecutive ones. Throws Error for a weight that is in two groups.
  Optimizer(Model& model, std::vector<ParameterGroup> groups, double clip, Ranks& ranks = alone());
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;
  ~Optimizer();

  // One update from the accumulated gradients, which are then zeroed; of several ranks, from the sum of their
  // gradients, which is that of `workers`. The rate of a parameter is
  // learning_rate times the scale of its group and its own scale, its decay that of its group times
  // weight_decay_scale. Returns the norm of the gradient before clipping. If the norm is not finite, only the
  // gradients change.
  double step(double learning_rate, double weight_decay_scale = 1, WorkerSum* workers = nullptr);

  // The norms of the parts of the gradient of the last step, before clipping: of what is before the blocks,
  // of each block, and of what is after them. NaN where nothing is trained, and before the first step.
  const std::vector<double>& layer_norms() const { return layer_norms_; }
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
    Shape shape;
    Dtype dtype;
    int64_t owner;  // the rank that has it
    Tensor values;  // there; elsewhere empty
  };
  std::vector<Moment> moments() const;

 private:
  // A trained weight and its moments.
  struct Trained {
    TrainedWeight of;
    const ParameterGroup* group;
    int64_t place;  // in gradients_
    size_t part;    // of layer_norms_
    std::vector<MomentSpec> specs;
    std::vector<OwnedTensor> memory;
    std::vector<Tensor> moments;  // in memory
  };
  bool is_own(const Trained& trained) const { return owner_of(trained) == ranks_.rank(); }
  int64_t owner_of(const Trained& trained) const;
  void divide(int64_t count);
  double squares_of_all();
  void share_weights();

  std::vector<ParameterGroup> groups_;
  double clip_;
  Ranks& ranks_;
  std::vector<Trained> trained_;
  OwnedTensor gradients_;
  std::optional<Shards> shards_;  // of gradients_; none if there is one rank
  std::vector<double> layer_norms_;
  std::string not_finite_;
  int64_t steps_ = 0;
};

}  // namespace aviary
