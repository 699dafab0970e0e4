// How a parameter moves along its gradient, and the groups of parameters that move alike.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/parameters.h"

namespace aviary {

class UpdateRule;

// Parameters that are updated by the same rule with the same settings.
struct ParameterGroup {
  std::shared_ptr<const UpdateRule> rule;
  double learning_rate_scale = 1;
  double weight_decay = 0;
  std::vector<Parameter*> parameters = {};
};

// A step of the optimizer as one parameter sees it.
struct UpdateStep {
  int64_t number = 1;         // 1 for the first one
  double learning_rate = 0;   // with the scales of the group and of the parameter
  double gradient_scale = 1;  // from clipping; the gradient counts times this
};

// What a rule keeps of a parameter from step to step; it starts at zero. In a checkpoint it is
// "<name>.<parameter>".
struct MomentSpec {
  std::string name;
  Shape shape;
};

// AdamW and its like. A rule has settings but no memory: that is in the moments.
class UpdateRule {
 public:
  virtual ~UpdateRule() = default;
  virtual std::vector<MomentSpec> moments(const ParameterSpec& parameter) const = 0;
  // Changes `value`, and `moments` in the order of moments(); all are of the model's type. Leaves `gradient`
  // at zero.
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
  double weight_decay = 0;             // for parameters whose spec says so
  std::vector<std::string> only = {};  // names of the parameters that are trained; empty: all of them
};
// All parameters that can be trained, in two groups: with and without weight decay.
std::vector<ParameterGroup> adamw_groups(ParameterTable& parameters, const AdamWOptions& options);

}  // namespace aviary
