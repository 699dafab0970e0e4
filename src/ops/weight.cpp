#include "ops/weight.h"

#include "base/error.h"

namespace aviary {

const kernels::PackedMatrix& Weight::packed(std::vector<kernels::PackedMatrix>& matrices, bool& stale,
                                            bool rows_are_k, kernels::Precision precision, int64_t index) {
  const int rank = shape_.rank();
  if (stale || matrices[0].precision() != precision) {
    require(!value_.empty(), "weight {}: it is frozen and packed for products of another kind", name_);
    const int64_t rows = shape_[rank - 2], cols = shape_[rank - 1];
    matrices.resize(rank == 3 ? static_cast<size_t>(shape_[0]) : 1);
    const float* from = value().as<float>();
    for (kernels::PackedMatrix& matrix : matrices) {  // W, or its transpose, so that (k, n) is what is needed
      if (rows_are_k)
        matrix.pack(from, rows, cols, cols, 1, precision);
      else
        matrix.pack(from, cols, rows, 1, cols, precision);
      from += rows * cols;
    }
    stale = false;
  }
  return matrices[static_cast<size_t>(index)];
}

const kernels::PackedMatrix& Weight::forward(Layout layout, kernels::Precision precision, int64_t index) {
  const kernels::PackedMatrix& matrix =
      packed(forward_, forward_stale_, layout == Layout::in_out, precision, index);
  if (frozen_ && !value_.empty()) value_ = OwnedTensor();
  return matrix;
}

const kernels::PackedMatrix& Weight::backward(Layout layout, kernels::Precision precision, int64_t index) {
  return packed(backward_, backward_stale_, layout == Layout::out_in, precision, index);
}

}  // namespace aviary
