// Sums of tensors, and the gradient of a plain sum.
#pragma once

#include "kernels/kernels.h"
#include "tensor/tape.h"

namespace aviary {

// to += from
inline void accumulate(const Tensor& from, const Tensor& to) {
  if (from.dtype() == Dtype::f64)
    for (int64_t i = 0; i < from.count(); ++i) to.as<double>()[i] += from.as<double>()[i];
  else
    kernels::add(from.as<float>(), from.count(), to.as<float>());
}

// For y = x + ...: passes the gradient of y on to x. To be called last in the backward of y, since it may
// move the gradient.
inline void pass_gradient(Tape& tape, const Var& y, const Var& x) {
  if (x.gradient && !tape.take_over(y, x)) accumulate(tape.gradient(y), tape.gradient(x));
}

}  // namespace aviary
