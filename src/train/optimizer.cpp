#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

namespace aviary {
namespace {

double sum_of_squares(const Tensor& x) {
  if (x.dtype() == Dtype::f32) return kernels::sum_of_squares(x.as<float>(), x.count());
  double sum = 0;
  for (int64_t i = 0; i < x.count(); ++i) sum += x.as<double>()[i] * x.as<double>()[i];
  return sum;
}

struct Update {
  double learning_rate, beta1, beta2, epsilon, weight_decay, gradient_scale, correction1, correction2;
};

void update(const Update& u, const Tensor& weight, const Tensor& gradient, const Tensor& m, const Tensor& v) {
  if (weight.dtype() == Dtype::f32) {
    auto f = [](double x) { return static_cast<float>(x); };
    const kernels::AdamStep step{f(u.learning_rate), f(u.beta1),          f(u.beta2),       f(u.epsilon),
                                 f(u.weight_decay),  f(u.gradient_scale), f(u.correction1), f(u.correction2)};
    kernels::adam(step, weight.as<float>(), gradient.as<float>(), m.as<float>(), v.as<float>(),
                  weight.count());
    return;
  }
  double *p = weight.as<double>(), *grad = gradient.as<double>(), *first = m.as<double>(),
         *second = v.as<double>();
  for (int64_t i = 0; i < weight.count(); ++i) {
    const double g = grad[i] * u.gradient_scale;
    first[i] = u.beta1 * first[i] + (1 - u.beta1) * g;
    second[i] = u.beta2 * second[i] + (1 - u.beta2) * g * g;
    p[i] *= 1 - u.learning_rate * u.weight_decay;
    p[i] -= u.learning_rate * (first[i] / u.correction1) / (std::sqrt(second[i] / u.correction2) + u.epsilon);
    grad[i] = 0;
  }
}

}  // namespace

Optimizer::Optimizer(Model& model, const OptimizerOptions& options) : options_(options) {
  const auto& only = options.only;
  for (Parameter& parameter : model.parameters()) {
    const bool wanted =
        only.empty() || std::find(only.begin(), only.end(), parameter.spec.name) != only.end();
    const bool trained = wanted && !parameter.spec.constant;
    parameter.weight.set_trainable(trained);
    const Shape& shape = parameter.weight.shape();
    if (trained)
      trained_.push_back({parameter, OwnedTensor(shape, model.dtype()), OwnedTensor(shape, model.dtype())});
  }
}

double Optimizer::step(double learning_rate) {
  double squares = 0;
  for (const Trained& trained : trained_) squares += sum_of_squares(trained.parameter.weight.gradient());
  const double norm = std::sqrt(squares);
  if (!std::isfinite(norm)) {
    for (const Trained& trained : trained_) set_zero(trained.parameter.weight.gradient());
    return norm;
  }
  ++steps_;
  const double t = static_cast<double>(steps_);
  Update u{.learning_rate = 0,
           .beta1 = options_.beta1,
           .beta2 = options_.beta2,
           .epsilon = options_.epsilon,
           .weight_decay = 0,
           .gradient_scale = options_.clip > 0 ? std::min(1.0, options_.clip / (norm + 1e-6)) : 1,
           .correction1 = 1 - std::pow(options_.beta1, t),
           .correction2 = 1 - std::pow(options_.beta2, t)};
  for (Trained& trained : trained_) {
    Parameter& parameter = trained.parameter;
    u.learning_rate = learning_rate * parameter.spec.learning_rate_scale;
    u.weight_decay = parameter.spec.decay ? options_.weight_decay : 0;
    update(u, parameter.weight.value(), parameter.weight.gradient(), trained.m.view(), trained.v.view());
    parameter.weight.changed();
  }
  return norm;
}

std::vector<Optimizer::Moment> Optimizer::moments() const {
  std::vector<Moment> result;
  for (const Trained& trained : trained_) {
    result.push_back({"m." + trained.parameter.spec.name, trained.m.view()});
    result.push_back({"v." + trained.parameter.spec.name, trained.v.view()});
  }
  return result;
}

}  // namespace aviary
