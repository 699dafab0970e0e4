// The rule that updates a parameter from its gradient, and groups of parameters with the same rule.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
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

// The block of a parameter, or of a part of a state, by its name; -1 if it is in none.
int64_t layer_of(std::string_view name);

// Weights updated by the same rule with the same settings.
struct ParameterGroup {
  std::shared_ptr<const UpdateRule> rule;
  double learning_rate_scale = 1;
  double weight_decay = 0;
  std::vector<TrainedWeight> parameters = {};
};

// One optimizer step.
struct UpdateStep {
  int64_t number = 1;         // 1 for the first one
  double gradient_scale = 1;  // factor for the gradient, from clipping
  double weight_decay = 0;    // of the group
};

// One weight of a group in one optimizer step. Value, gradient and moments have the type of the model.
struct UpdatedWeight {
  const ParameterSpec* spec;
  double learning_rate;  // including the scales of the group and of the parameter
  Tensor value, gradient;
  std::span<const Tensor> moments;  // in the order of moments()
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
  // Updates values and moments of some weights of a group, and zeros their gradients.
  virtual void update(const UpdateStep& step, std::span<const UpdatedWeight> weights) const = 0;
};

// Loshchilov and Hutter 2019, arXiv 1711.05101. Moments m and v.
// cautious: numbers decay only in steps that make them smaller (after Liang et al. 2024, arXiv 2411.16085).
struct AdamW : UpdateRule {
  double beta1, beta2, epsilon;
  bool cautious;

  AdamW(double of_m, double of_v, double epsilon_of, bool is_cautious = false)
      : beta1(of_m), beta2(of_v), epsilon(epsilon_of), cautious(is_cautious) {}
  std::vector<MomentSpec> moments(const ParameterSpec& parameter) const override;
  void update(const UpdateStep& step, std::span<const UpdatedWeight> weights) const override;
};

// Chen et al. 2023, arXiv 2302.06675. Moment m.
struct Lion : UpdateRule {
  double beta1, beta2;
  bool cautious;

  Lion(double of_update, double of_m, bool is_cautious = false)
      : beta1(of_update), beta2(of_m), cautious(is_cautious) {}
  std::vector<MomentSpec> moments(const ParameterSpec& parameter) const override;
  void update(const UpdateStep& step, std::span<const UpdatedWeight> weights) const override;
};

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8;
  double weight_decay = 0;             // for parameters with ParameterSpec::decay
  std::vector<std::string> only = {};  // names of the trained parameters; empty: all
};
// All trainable parameters, in two groups: with and without weight decay.
std::vector<ParameterGroup> adamw_groups(ParameterTable& parameters, const AdamWOptions& options);

}  // namespace aviary
