#include "train/update_rule.h"

#include <algorithm>
#include <cmath>

#include "kernels/kernels.h"

namespace aviary {

std::vector<MomentSpec> AdamW::moments(const ParameterSpec& parameter) const {
  return {{"m", parameter.shape}, {"v", parameter.shape}};
}

void AdamW::update(const UpdateStep& step, const ParameterGroup& group, const Tensor& value,
                   const Tensor& gradient, std::span<const Tensor> moments) const {
  const double t = static_cast<double>(step.number);
  const double correction1 = 1 - std::pow(beta1_, t), correction2 = 1 - std::pow(beta2_, t);
  const Tensor &m = moments[0], &v = moments[1];
  if (value.dtype() == Dtype::f32) {
    auto f = [](double x) { return static_cast<float>(x); };
    const kernels::AdamStep adam{
        f(step.learning_rate),  f(beta1_),      f(beta2_),     f(epsilon_), f(group.weight_decay),
        f(step.gradient_scale), f(correction1), f(correction2)};
    kernels::adam(adam, value.as<float>(), gradient.as<float>(), m.as<float>(), v.as<float>(), value.count());
    return;
  }
  double *p = value.as<double>(), *grad = gradient.as<double>(), *first = m.as<double>(),
         *second = v.as<double>();
  for (int64_t i = 0; i < value.count(); ++i) {
    const double g = grad[i] * step.gradient_scale;
    first[i] = beta1_ * first[i] + (1 - beta1_) * g;
    second[i] = beta2_ * second[i] + (1 - beta2_) * g * g;
    p[i] *= 1 - step.learning_rate * group.weight_decay;
    p[i] -= step.learning_rate * (first[i] / correction1) / (std::sqrt(second[i] / correction2) + epsilon_);
    grad[i] = 0;
  }
}

std::vector<ParameterGroup> adamw_groups(ParameterTable& parameters, const AdamWOptions& options) {
  const auto rule = std::make_shared<AdamW>(options.beta1, options.beta2, options.epsilon);
  ParameterGroup decaying{.rule = rule, .weight_decay = options.weight_decay}, others{.rule = rule};
  const auto& only = options.only;
  for (Parameter& parameter : parameters) {
    const bool wanted =
        only.empty() || std::find(only.begin(), only.end(), parameter.spec.name) != only.end();
    if (wanted && !parameter.spec.constant)
      (parameter.spec.decay ? decaying : others).parameters.emplace_back(parameter);
  }
  return {decaying, others};
}

}  // namespace aviary
