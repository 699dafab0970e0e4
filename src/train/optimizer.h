// Updates the parameters of a model from their gathered gradients, group by group.
#pragma once

#include <vector>

#include "models/model.h"
#include "train/update_rule.h"

namespace aviary {

class Optimizer {
 public:
  // Makes the parameters of the groups trainable, and no others of the model; their gradients are views of
  // one buffer of this Optimizer, which ends their training when it goes. clip: the largest norm of the
  // gradient; 0: no clipping. Throws Error for a parameter that is in two groups.
  Optimizer(Model& model, std::vector<ParameterGroup> groups, double clip);
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;
  ~Optimizer();

  // One update from the gathered gradients, which become zero. A parameter moves at learning_rate times the
  // scales of its group and its own. Returns the norm of the gradient before clipping. Without a finite norm
  // nothing changes but the gradients.
  double step(double learning_rate);

  // The gradients of all trained parameters in the order of the model's table, one behind the other [count];
  // a few zeros between them keep each aligned.
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
  // A parameter that is trained, and what its rule keeps of it.
  struct Trained {
    Parameter* parameter;
    const ParameterGroup* group;
    std::vector<std::string> names;
    std::vector<OwnedTensor> memory;
    std::vector<Tensor> moments;  // of memory
  };

  std::vector<ParameterGroup> groups_;
  double clip_;
  std::vector<Trained> trained_;  // in the order of the table
  OwnedTensor gradients_;
  int64_t steps_ = 0;
};

}  // namespace aviary
