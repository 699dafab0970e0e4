// A separate matrix for each row.
//   y_j = sum_i x_i M_ij, M of the row:  dx_i = sum_j dy_j M_ij,  dM_ij = x_i dy_j
#include "ops/ops.h"

namespace aviary {
namespace {

struct RowMatrixCall {
  Var x, matrices, y;
  kernels::RowMatrix shape;
};

void reference(const RowMatrixCall& call) {
  const auto [rows, inputs, outputs] = call.shape;
  for (int64_t row = 0; row < rows; ++row) {
    const double* x = call.x.value.as<double>() + row * inputs;
    const double* M = call.matrices.value.as<double>() + row * inputs * outputs;
    double* y = call.y.value.as<double>() + row * outputs;
    for (int64_t j = 0; j < outputs; ++j) {
      y[j] = 0;
      for (int64_t i = 0; i < inputs; ++i) y[j] += x[i] * M[i * outputs + j];
    }
  }
}

void reference_backward(const RowMatrixCall& call, const double* dy, double* dx, double* dM) {
  const auto [rows, inputs, outputs] = call.shape;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < inputs; ++i)
      for (int64_t j = 0; j < outputs; ++j) {
        const double g = dy[row * outputs + j];
        const int64_t at = (row * inputs + i) * outputs + j;
        if (dx) dx[row * inputs + i] += g * call.matrices.value.as<double>()[at];
        if (dM) dM[at] += g * call.x.value.as<double>()[row * inputs + i];
      }
}

void backward(Tape& tape, const RowMatrixCall& call) {
  const Tensor dy = tape.gradient(call.y), dx = tape.gradient(call.x), dM = tape.gradient(call.matrices);
  if (dy.dtype() == Dtype::f64)
    reference_backward(call, dy.as<double>(), dx.as<double>(), dM.as<double>());
  else
    kernels::row_matrix_backward(call.shape, call.x.value.as<float>(), call.matrices.value.as<float>(),
                                 dy.as<float>(), dx.as<float>(), dM.as<float>());
}

}  // namespace

Var row_matrix(Context& c, const Var& x, const Var& matrices) {
  const int64_t rows = x.rows(), inputs = x.cols();
  require(matrices.rows() == rows && matrices.cols() % inputs == 0,
          "row_matrix: matrices have shape {}, expected {} rows of a multiple of {} numbers",
          matrices.shape(), rows, inputs);
  const int64_t outputs = matrices.cols() / inputs;
  RowMatrixCall call{x, matrices, c.result({rows, outputs}, x.dtype()), {rows, inputs, outputs}};
  if (x.dtype() == Dtype::f64)
    reference(call);
  else
    kernels::row_matrix(call.shape, x.value.as<float>(), matrices.value.as<float>(),
                        call.y.value.as<float>());
  if (c.tape) c.tape->record({call.y}, [call](Tape& tape) { backward(tape, call); });
  return call.y;
}

}  // namespace aviary
