#include "train/update_rule.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "kernels/kernels.h"

namespace aviary {
namespace {

float single(double x) { return static_cast<float>(x); }

// p - size * update, with decay: of every number, or (cautious) of those that the update makes smaller.
double moved(double p, double update, double size, double decay, bool cautious) {
  return (cautious && p * update < 0 ? p : p * (1 - decay)) - size * update;
}

}  // namespace

int64_t layer_of(std::string_view name) {
  constexpr std::string_view begin = "blocks.";
  if (!name.starts_with(begin)) return -1;
  int64_t layer = -1;
  std::from_chars(name.data() + begin.size(), name.data() + name.size(), layer);
  return layer;
}

std::vector<MomentSpec> AdamW::moments(const ParameterSpec& parameter) const {
  return {{"m", parameter.shape}, {"v", parameter.shape}};
}

void AdamW::update(const UpdateStep& step, std::span<const UpdatedWeight> weights) const {
  const double t = static_cast<double>(step.number);
  const double correction1 = 1 - std::pow(beta1, t), correction2 = 1 - std::pow(beta2, t);
  for (const UpdatedWeight& weight : weights) {
    const Tensor &value = weight.value, &gradient = weight.gradient;
    const Tensor &m = weight.moments[0], &v = weight.moments[1];
    if (value.dtype() == Dtype::f32) {
      const kernels::AdamStep adam{single(weight.learning_rate),
                                   single(beta1),
                                   single(beta2),
                                   single(epsilon),
                                   single(step.weight_decay),
                                   single(step.gradient_scale),
                                   single(correction1),
                                   single(correction2),
                                   cautious};
      kernels::adam(adam, value.as<float>(), gradient.as<float>(), m.as<float>(), v.as<float>(),
                    value.count());
      continue;
    }
    double *p = value.as<double>(), *grad = gradient.as<double>(), *first = m.as<double>(),
           *second = v.as<double>();
    for (int64_t i = 0; i < value.count(); ++i) {
      const double g = grad[i] * step.gradient_scale;
      first[i] = beta1 * first[i] + (1 - beta1) * g;
      second[i] = beta2 * second[i] + (1 - beta2) * g * g;
      const double update = (first[i] / correction1) / (std::sqrt(second[i] / correction2) + epsilon);
      p[i] = moved(p[i], update, weight.learning_rate, weight.learning_rate * step.weight_decay, cautious);
      grad[i] = 0;
    }
  }
}

std::vector<MomentSpec> Lion::moments(const ParameterSpec& parameter) const {
  return {{"m", parameter.shape}};
}

void Lion::update(const UpdateStep& step, std::span<const UpdatedWeight> weights) const {
  for (const UpdatedWeight& weight : weights) {
    const Tensor &value = weight.value, &gradient = weight.gradient, &m = weight.moments[0];
    if (value.dtype() == Dtype::f32) {
      const kernels::LionStep lion{
          single(weight.learning_rate), single(beta1), single(beta2), single(step.weight_decay),
          single(step.gradient_scale),  cautious};
      kernels::lion(lion, value.as<float>(), gradient.as<float>(), m.as<float>(), value.count());
      continue;
    }
    double *p = value.as<double>(), *grad = gradient.as<double>(), *average = m.as<double>();
    for (int64_t i = 0; i < value.count(); ++i) {
      const double g = grad[i] * step.gradient_scale;
      const double mean = beta1 * average[i] + (1 - beta1) * g;
      const double sign = mean > 0 ? 1 : mean < 0 ? -1 : 0;
      p[i] = moved(p[i], sign, weight.learning_rate, weight.learning_rate * step.weight_decay, cautious);
      average[i] = beta2 * average[i] + (1 - beta2) * g;
      grad[i] = 0;
    }
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
