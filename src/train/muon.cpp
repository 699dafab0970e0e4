#include "train/muon.h"

#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "kernels/kernels.h"
#include "kernels/orthogonalize.h"

namespace aviary {
namespace {

constexpr double first_momentum = 0.85;
constexpr double size_of_update = 0.2;  // root mean square, times the learning rate

// The matrices that a parameter consists of: `count` of them [rows, cols], `distance` numbers apart.
struct Matrices {
  int64_t count, rows, cols, row_stride, distance;

  explicit Matrices(const ParameterSpec& spec) {
    const Shape& shape = spec.shape;
    if (spec.use == Use::stack) {
      *this = {shape[0], shape[1], shape[2], shape[2], shape[1] * shape[2]};
    } else {
      const int64_t cols = shape[1] / spec.parts;
      *this = {spec.parts, shape[0], cols, shape[1], cols};
    }
  }

 private:
  Matrices(int64_t n, int64_t r, int64_t c, int64_t stride, int64_t apart)
      : count(n), rows(r), cols(c), row_stride(stride), distance(apart) {}
};

void orthogonalize(const Matrices& matrices, float* x, kernels::Precision precision) {
  for (int64_t i = 0; i < matrices.count; ++i)
    kernels::orthogonalize(x + i * matrices.distance, matrices.rows, matrices.cols, matrices.row_stride,
                           precision);
}

void update_float(const UpdateStep& step, const UpdatedWeight& weight, const Muon& muon, double momentum) {
  const int64_t count = weight.value.count();
  const Matrices matrices(*weight.spec);
  float* direction = weight.gradient.as<float>();
  kernels::nesterov(static_cast<float>(momentum), static_cast<float>(step.gradient_scale), direction,
                    weight.moments[0].as<float>(), count);
  orthogonalize(matrices, direction, muon.precision);
  const double size = size_of_update * std::sqrt(static_cast<double>(std::max(matrices.rows, matrices.cols)));
  kernels::move_against(weight.value.as<float>(), direction, static_cast<float>(weight.learning_rate * size),
                        static_cast<float>(1 - weight.learning_rate * step.weight_decay), muon.cautious,
                        count);
}

void update_double(const UpdateStep& step, const UpdatedWeight& weight, const Muon& muon, double momentum) {
  const Matrices matrices(*weight.spec);
  double *p = weight.value.as<double>(), *gradient = weight.gradient.as<double>(),
         *average = weight.moments[0].as<double>();
  std::vector<double> direction(static_cast<size_t>(weight.value.count()));
  for (size_t i = 0; i < direction.size(); ++i) {
    const double g = gradient[i] * step.gradient_scale;
    average[i] = momentum * average[i] + (1 - momentum) * g;
    direction[i] = momentum * average[i] + (1 - momentum) * g;
    gradient[i] = 0;
  }
  for (int64_t i = 0; i < matrices.count; ++i)
    kernels::orthogonalize(direction.data() + i * matrices.distance, matrices.rows, matrices.cols,
                           matrices.row_stride);
  const double size = size_of_update * std::sqrt(static_cast<double>(std::max(matrices.rows, matrices.cols)));
  for (size_t i = 0; i < direction.size(); ++i) {
    const bool decays = !muon.cautious || p[i] * direction[i] >= 0;
    p[i] = p[i] * (decays ? 1 - weight.learning_rate * step.weight_decay : 1) -
           weight.learning_rate * size * direction[i];
  }
}

}  // namespace

bool Muon::takes(const ParameterSpec& parameter) {
  return parameter.use == Use::out_in || parameter.use == Use::in_out || parameter.use == Use::stack;
}

double Muon::momentum_at(int64_t step) const {
  if (step >= momentum_warmup) return momentum;
  return first_momentum +
         (momentum - first_momentum) * static_cast<double>(step) / static_cast<double>(momentum_warmup);
}

std::vector<MomentSpec> Muon::moments(const ParameterSpec& parameter) const {
  return {{"momentum", parameter.shape}};
}

// The matrices are divided among the threads, each of which is done by one of them.
void Muon::update(const UpdateStep& step, std::span<const UpdatedWeight> weights) const {
  const double momentum_now = momentum_at(step.number);
  parallel_for(std::ssize(weights), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const UpdatedWeight& weight = weights[static_cast<size_t>(i)];
      if (weight.value.dtype() == Dtype::f32)
        update_float(step, weight, *this, momentum_now);
      else
        update_double(step, weight, *this, momentum_now);
    }
  });
}

}  // namespace aviary
