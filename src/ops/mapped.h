// A function applied to every number of a weight, such as the decay e^{-e^w}, for one step.
#pragma once

#include "ops/context.h"

namespace aviary {

inline Tensor mapped(Context& c, const Tensor& numbers, double (*f)(double)) {
  const Tensor result = c.arena.tensor(numbers.shape(), numbers.dtype());
  for (int64_t i = 0; i < numbers.count(); ++i) {
    if (numbers.dtype() == Dtype::f64)
      result.as<double>()[i] = f(numbers.as<double>()[i]);
    else
      result.as<float>()[i] = static_cast<float>(f(static_cast<double>(numbers.as<float>()[i])));
  }
  return result;
}

}  // namespace aviary
