// Each row times its own matrix. Vectors run along the outputs.
#include <algorithm>

#include "base/threads.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/row_matrix.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

void one_row(int64_t inputs, int64_t outputs, const float* x, const float* matrix, float* y) {
  for_vectors(outputs, [&](auto d, int64_t j) HWY_ATTR {
    auto sum = hn::Zero(d);
    for (int64_t i = 0; i < inputs; ++i)
      sum = hn::MulAdd(hn::Set(d, x[i]), hn::LoadU(d, matrix + i * outputs + j), sum);
    hn::StoreU(sum, d, y + j);
  });
}

void one_row_backward(int64_t inputs, int64_t outputs, const float* x, const float* matrix, const float* dy,
                      float* dx, float* dmatrix) {
  for (int64_t i = 0; i < inputs; ++i) {
    const float* from = matrix + i * outputs;
    if (dx)
      dx[i] += sum_vectors(outputs, [&](auto d, int64_t j) HWY_ATTR {
        return hn::Mul(hn::LoadU(d, from + j), hn::LoadU(d, dy + j));
      });
    if (!dmatrix) continue;
    float* to = dmatrix + i * outputs;
    for_vectors(outputs, [&](auto d, int64_t j) HWY_ATTR {
      hn::StoreU(hn::MulAdd(hn::Set(d, x[i]), hn::LoadU(d, dy + j), hn::LoadU(d, to + j)), d, to + j);
    });
  }
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(one_row);
HWY_EXPORT(one_row_backward);

// Rows that justify another thread.
int64_t grain(const RowMatrix& shape) {
  return std::max<int64_t>(1, 8192 / std::max<int64_t>(shape.inputs * shape.outputs, 1));
}

}  // namespace

void row_matrix(const RowMatrix& shape, const float* x, const float* matrices, float* y) {
  const auto [rows, inputs, outputs] = shape;
  parallel_for(rows, grain(shape), [&, inputs = inputs, outputs = outputs](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) HWY_DYNAMIC_DISPATCH(one_row)
    (inputs, outputs, x + row * inputs, matrices + row * inputs * outputs, y + row * outputs);
  });
}

void row_matrix_backward(const RowMatrix& shape, const float* x, const float* matrices, const float* dy,
                         float* dx, float* dmatrices) {
  const auto [rows, inputs, outputs] = shape;
  parallel_for(rows, grain(shape), [&, inputs = inputs, outputs = outputs](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) HWY_DYNAMIC_DISPATCH(one_row_backward)
    (inputs, outputs, x + row * inputs, matrices + row * inputs * outputs, dy + row * outputs,
     dx ? dx + row * inputs : nullptr, dmatrices ? dmatrices + row * inputs * outputs : nullptr);
  });
}

}  // namespace aviary::kernels
#endif
