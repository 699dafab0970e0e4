// Matrix products with a weight.
//   y = x W^T + bias + residual;  dx = dy W,  dW = dy^T x,  dbias = sum over rows of dy,  dresidual = dy
//   (out_in; for in_out W is transposed throughout)
#include "ops/accumulate.h"
#include "ops/ops.h"

namespace aviary {
namespace {

// Sizes and strides of W seen as B [K, N] of y = x B: element (k, n) is at k * k_stride + n * n_stride.
struct Matrix {
  int64_t k, n, k_stride, n_stride;
};

Matrix matrix_of(const Weight& weight, Layout layout) {
  const int64_t rows = weight.shape()[0], cols = weight.shape()[1];
  if (layout == Layout::out_in) return {cols, rows, 1, cols};
  return {rows, cols, cols, 1};
}

void reference(const double* x, const double* w, const Matrix& b, int64_t rows, double* y) {
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t n = 0; n < b.n; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < b.k; ++k) sum += x[row * b.k + k] * w[k * b.k_stride + n * b.n_stride];
      y[row * b.n + n] += sum;
    }
}

void reference_backward(const double* dy, const double* x, const double* w, const Matrix& b, int64_t rows,
                        double* dx, double* dw) {
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t k = 0; k < b.k; ++k)
      for (int64_t n = 0; n < b.n; ++n) {
        const int64_t at = k * b.k_stride + n * b.n_stride;
        if (dx) dx[row * b.k + k] += dy[row * b.n + n] * w[at];
        if (dw) dw[at] += dy[row * b.n + n] * x[row * b.k + k];
      }
}

// dbias += sum over rows of dy
void bias_backward(Tape& tape, const Tensor& dy, Weight& bias) {
  if (!bias.trainable()) return;
  const int64_t cols = dy.cols();
  if (dy.dtype() == Dtype::f64) {
    for (int64_t i = 0; i < dy.count(); ++i) bias.gradient().as<double>()[i % cols] += dy.as<double>()[i];
    return;
  }
  Tensor scratch = tape.scratch({kernels::row_blocks, cols}, Dtype::f32);
  kernels::sum_rows(dy.as<float>(), dy.rows(), cols, bias.gradient().as<float>(), scratch.as<float>());
  tape.release(scratch);
}

void backward(Tape& tape, const Var& x, const Var& y, Weight& weight, Layout layout, const Matrix& b,
              kernels::Precision precision) {
  const int64_t rows = x.rows();
  Tensor dy = tape.gradient(y);
  if (x.dtype() == Dtype::f64) {
    reference_backward(dy.as<double>(), x.value.as<double>(), weight.value().as<double>(), b, rows,
                       tape.gradient(x).as<double>(), weight.gradient().as<double>());
    return;
  }
  if (x.gradient) {
    bool fresh = false;
    Tensor dx = tape.gradient(x, fresh);
    kernels::matmul(dy.as<float>(), rows, b.n, weight.backward(layout, precision), dx.as<float>(), b.k,
                    !fresh);
  }
  if (!weight.trainable()) return;
  float* dw = weight.gradient().as<float>();
  if (layout == Layout::out_in)
    kernels::matmul_transposed(dy.as<float>(), b.n, x.value.as<float>(), b.k, rows, b.n, b.k, dw, b.k,
                               precision);
  else
    kernels::matmul_transposed(x.value.as<float>(), b.k, dy.as<float>(), b.n, rows, b.k, b.n, dw, b.n,
                               precision);
}

// What the product is added to: residual + bias, either of which may be missing. In float32 a bias alone
// comes after the product instead.
void start(const Tensor& residual, const Weight* bias, const Tensor& y) {
  if (residual.empty() && y.dtype() == Dtype::f64) set_zero(y);
  if (!residual.empty()) copy(residual, y);
  if (!bias) return;
  const int64_t cols = y.cols();
  if (y.dtype() == Dtype::f64)
    for (int64_t i = 0; i < y.count(); ++i) y.as<double>()[i] += bias->value().as<double>()[i % cols];
  else if (!residual.empty())
    kernels::activate(Activation::none, y.as<float>(), bias->value().as<float>(), y.rows(), cols,
                      y.as<float>());
}

Var multiply(Context& c, const Var& x, Weight& weight, Layout layout, Weight* bias, const Var& residual) {
  require(weight.shape().rank() == 2, "linear: weight {} has shape {}, expected a matrix", weight.name(),
          to_string(weight.shape()));
  const Matrix b = matrix_of(weight, layout);
  const int64_t rows = x.rows();
  require(x.cols() == b.k, "linear: x has {} columns, {} expects {}", x.cols(), weight.name(), b.k);
  Var y = c.result({rows, b.n}, x.dtype());
  if (!residual.empty()) require_shape("linear", "residual", residual.shape(), y.shape());
  if (bias) require_count("linear", "bias", bias->value(), b.n);
  start(residual.value, bias, y.value);
  if (x.dtype() == Dtype::f64) {
    reference(x.value.as<double>(), weight.value().as<double>(), b, rows, y.value.as<double>());
  } else {
    float* out = y.value.as<float>();
    kernels::matmul(x.value.as<float>(), rows, b.k, weight.forward(layout, c.precision), out, b.n,
                    !residual.empty());
    if (bias && residual.empty())
      kernels::activate(Activation::none, out, bias->value().as<float>(), rows, b.n, out);
  }
  if (!c.tape) return y;
  c.tape->record({y}, [=, precision = c.precision, &weight](Tape& tape) {
    backward(tape, x, y, weight, layout, b, precision);
    if (bias) bias_backward(tape, tape.gradient(y), *bias);
    pass_gradient(tape, y, residual);
  });
  return y;
}

}  // namespace

Var linear(Context& c, const Var& x, Weight& weight, Layout layout, const Var& residual) {
  return multiply(c, x, weight, layout, nullptr, residual);
}

Var linear(Context& c, const Var& x, const Affine& weights, const Var& residual) {
  return multiply(c, x, weights.weight, Layout::out_in, &weights.bias, residual);
}

}  // namespace aviary
