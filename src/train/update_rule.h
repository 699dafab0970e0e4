// The rule that updates a parameter from its gradient, and groups of parameters with the same rule.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/parameters.h"

namespace aviary {

class UpdateRule;

// A weight that is trained: a parameter of a model, a matrix of an adapter, a part of the first state. Spec
// and weight must outlive it.
struct TrainedWeight {
  const ParameterSpec* spec;
  Weight* weight;

  TrainedWeight(const ParameterSpec& of, Weight& trained) : spec(&of), weight(&trained) {}
  TrainedWeight(Parameter& parameter) : spec(&parameter.spec), weight(&parameter.weight) {}
};

// Weights updated by the same rule with the same settings.
struct ParameterGroup {
  std::shared_ptr<const UpdateRule> rule;
  double learning_rate_scale = 1;
  double weight_decay = 0;
  std::vector<TrainedWeight> parameters = {};
};

// One optimizer step for one parameter.
struct UpdateStep {
  int64_t number = 1;         // 1 for the first one
  double learning_rate = 0;   // including the scales of the group and of the parameter
  double gradient_scale = 1;  // factor for the gradient, from clipping
};

// A value that a rule keeps for a parameter between steps, initially zero. Its name in a checkpoint is
// "<name>.<parameter>".
struct MomentSpec {
  std::string name;
  Shape shape;
};

// AdamW and similar rules. A rule has settings but no state; the state is in the moments.
class UpdateRule {
 public:
  virtual ~UpdateRule() = default;
  virtual std::vector<MomentSpec> moments(const ParameterSpec& parameter) const = 0;
  // Updates `value` and `moments` (in the order of moments()), all of the model's type, and zeros `gradient`.
  virtual void update(const UpdateStep& step, const ParameterGroup& group, const Tensor& value,
                      const Tensor& gradient, std::span<const Tensor> moments) const = 0;
};

// Loshchilov and Hutter 2019, arXiv 1711.05101. Moments m and v.
class AdamW : public UpdateRule {
 public:
  AdamW(double beta1, double beta2, double epsilon) : beta1_(beta1), beta2_(beta2), epsilon_(epsilon) {}
  std::vector<MomentSpec> moments(const ParameterSpec& parameter) const override;
  void update(const UpdateStep& step, const ParameterGroup& group, const Tensor& value,
              const Tensor& gradient, std::span<const Tensor> moments) const override;

 private:
  double beta1_, beta2_, epsilon_;
};

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8;
  double weight_decay = 0;             // for parameters with ParameterSpec::decay
  std::vector<std::string> only = {};  // names of the trained parameters; empty: all
};
// All trainable parameters, in two groups: with and without weight decay.
std::vector<ParameterGroup> adamw_groups(ParameterTable& parameters, const AdamWOptions& options);

}  // namespace aviary
