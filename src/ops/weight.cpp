#include "ops/weight.h"

#include "base/error.h"

namespace aviary {
namespace {

// Packs W (or its transpose) of `value` so that element (k, n) of B is what the product needs.
void pack(const Tensor& value, bool rows_are_k, kernels::Precision precision, kernels::PackedMatrix& packed) {
  const int64_t rows = value.rows(), cols = value.cols();
  if (rows_are_k)
    packed.pack(value.as<float>(), rows, cols, cols, 1, precision);
  else
    packed.pack(value.as<float>(), cols, rows, 1, cols, precision);
}

}  // namespace

void Weight::require_value() const {
  require(!value_.empty(), "weight {}: it is frozen and packed for products of another kind", name_);
}

const kernels::PackedMatrix& Weight::forward(Layout layout, kernels::Precision precision) {
  if (forward_stale_ || forward_.precision() != precision) {
    require_value();
    pack(value(), layout == Layout::in_out, precision, forward_);
    forward_stale_ = false;
    if (frozen_) value_ = OwnedTensor();
  }
  return forward_;
}

const kernels::PackedMatrix& Weight::backward(Layout layout, kernels::Precision precision) {
  if (backward_stale_ || backward_.precision() != precision) {
    require_value();
    pack(value(), layout == Layout::out_in, precision, backward_);
    backward_stale_ = false;
  }
  return backward_;
}

}  // namespace aviary
