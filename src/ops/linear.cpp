// Matrix products with a weight.
//   y = x W^T + bias + residual;  dx = dy W,  dW = dy^T x,  dbias = sum over rows of dy,  dresidual = dy
// (for out_in; for in_out, W is transposed throughout; for a stack, x is the columns of each matrix)
// With an adapter B A beside W (ops/weight.h):
//   h = x A^T,  y += h B^T;  dh = dy B,  dB = dy^T h,  dx += dh A,  dA = dh^T x
#include "ops/accumulate.h"
#include "ops/ops.h"

namespace aviary {
namespace {

// Sizes and strides of W seen as B [K, N] of y = x B: element (k, n) is at k * k_stride + n * n_stride.
struct Matrix {
  int64_t k, n, k_stride, n_stride;
};

Matrix matrix_of(const Weight& weight, Layout layout) {
  const int rank = weight.shape().rank();
  const int64_t rows = weight.shape()[rank - 2], cols = weight.shape()[rank - 1];
  if (layout == Layout::out_in) return {cols, rows, 1, cols};
  return {rows, cols, cols, 1};
}

// Number of products that are run together.
constexpr size_t most_at_once = 8;

// Columns [x_begin, x_begin + k) of x times a matrix.
struct Product {
  Var x, y;
  int64_t x_begin;
  Weight* weight;
  Layout layout;
  int64_t index;  // of the matrix in a stack
  Matrix b;
  kernels::Precision precision;

  int64_t rows() const { return x.rows(); }
  int64_t stride() const { return x.cols(); }
  template <typename T>
  T* columns(const Tensor& of_x) const {
    return of_x.empty() ? nullptr : of_x.as<T>() + x_begin;
  }
  template <typename T>
  T* matrix(const Tensor& of_weight) const {
    return of_weight.empty() ? nullptr : of_weight.as<T>() + index * b.k * b.n;
  }
};

void reference(const Product& p) {
  const double *x = p.columns<double>(p.x.value), *w = p.matrix<double>(p.weight->value());
  for (int64_t row = 0; row < p.rows(); ++row)
    for (int64_t n = 0; n < p.b.n; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < p.b.k; ++k)
        sum += x[row * p.stride() + k] * w[k * p.b.k_stride + n * p.b.n_stride];
      p.y.value.as<double>()[row * p.b.n + n] += sum;
    }
}

void reference_backward(Tape& tape, const Product& p) {
  const double *x = p.columns<double>(p.x.value), *w = p.matrix<double>(p.weight->value());
  double *dx = p.columns<double>(tape.gradient(p.x)), *dw = p.matrix<double>(p.weight->gradient());
  const double* dy = tape.gradient(p.y).as<double>();
  for (int64_t row = 0; row < p.rows(); ++row)
    for (int64_t k = 0; k < p.b.k; ++k)
      for (int64_t n = 0; n < p.b.n; ++n) {
        const int64_t at = k * p.b.k_stride + n * p.b.n_stride;
        if (dx) dx[row * p.stride() + k] += dy[row * p.b.n + n] * w[at];
        if (dw) dw[at] += dy[row * p.b.n + n] * x[row * p.stride() + k];
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

void backward(Tape& tape, const Product& p) {
  if (p.x.dtype() == Dtype::f64) return reference_backward(tape, p);
  const float *dy = tape.gradient(p.y).as<float>(), *x = p.columns<float>(p.x.value);
  if (p.x.gradient) {
    bool fresh = false;
    const Tensor dx = tape.gradient(p.x, fresh);
    if (fresh && p.b.k < p.stride()) set_zero(dx);
    p.weight->multiply_back(p.layout, p.precision, p.index, dy, p.rows(), p.b.n, p.columns<float>(dx),
                            p.stride(), !fresh || p.b.k < p.stride());
  }
  if (!p.weight->trainable()) return;
  float* dw = p.matrix<float>(p.weight->gradient());
  if (p.layout == Layout::out_in)
    kernels::matmul_transposed(dy, p.b.n, x, p.stride(), p.rows(), p.b.n, p.b.k, dw, p.b.k, p.precision);
  else
    kernels::matmul_transposed(x, p.stride(), dy, p.b.n, p.rows(), p.b.k, p.b.n, dw, p.b.n, p.precision);
}

// The value to which the product is added: residual + bias, either of which may be missing, and the residual
// may be y itself. In float32, a
// bias without residual is added after the product instead.
void start(const Tensor& residual, const Weight* bias, const Tensor& y) {
  if (residual.empty() && y.dtype() == Dtype::f64) set_zero(y);
  if (!residual.empty() && residual.data() != y.data()) copy(residual, y);
  if (!bias) return;
  const int64_t cols = y.cols();
  if (y.dtype() == Dtype::f64)
    for (int64_t i = 0; i < y.count(); ++i) y.as<double>()[i] += bias->value().as<double>()[i % cols];
  else if (!residual.empty())
    kernels::activate(Activation::none, y.as<float>(), bias->value().as<float>(), y.rows(), cols,
                      y.as<float>());
}

void run(const Product& p, const Tensor& residual, const Weight* bias) {
  start(residual, bias, p.y.value);
  if (p.x.dtype() == Dtype::f64) return reference(p);
  float* out = p.y.value.as<float>();
  kernels::matmul(p.columns<float>(p.x.value), p.rows(), p.stride(),
                  p.weight->forward(p.layout, p.precision, p.index), out, p.b.n, !residual.empty());
  if (bias && residual.empty())
    kernels::activate(Activation::none, out, bias->value().as<float>(), p.rows(), p.b.n, out);
}

// Independent products of one step.
void run_each(std::span<const Product> products) {
  std::array<kernels::RowProduct, most_at_once> rows{};
  const bool together = products[0].rows() == 1 && products[0].x.dtype() == Dtype::f32;
  for (size_t i = 0; i < products.size(); ++i) {
    const Product& p = products[i];
    if (together)
      rows[i] = {p.columns<float>(p.x.value), &p.weight->forward(p.layout, p.precision, p.index),
                 p.y.value.as<float>()};
    else
      run(p, {}, nullptr);
  }
  if (together) kernels::multiply_rows({rows.data(), products.size()});
}

Product product_of(Context& c, const Var& x, Weight& weight, Layout layout) {
  require(weight.shape().rank() == 2, "linear: weight {} has shape {}, expected a matrix", weight.name(),
          weight.shape());
  const Matrix b = matrix_of(weight, layout);
  require(x.cols() == b.k, "linear: x has {} columns, {} expects {}", x.cols(), weight.name(), b.k);
  return {x, c.result({x.rows(), b.n}, x.dtype()), 0, &weight, layout, 0, b, c.precision};
}

// y += (x A^T) B^T for each adapter of the weight. Returns the products with B, whose backward belongs to
// that of y; x A^T is recorded here.
std::span<const Product> add_adapters(Context& c, const Var& x, const Weight& weight, const Var& y) {
  const auto adapters = weight.adapters();
  if (adapters.empty()) return {};
  const auto bytes = static_cast<int64_t>(adapters.size() * sizeof(Product));
  auto* products = static_cast<Product*>(c.arena.allocate(bytes));
  for (size_t i = 0; i < adapters.size(); ++i) {
    Weight &a = adapters[i]->a, &b = adapters[i]->b;
    const Var input = b.trainable() ? dropout(c, x, c.dropout.adapters) : x;
    const Product& p = *new (products + i) Product{
        linear(c, input, a), y, 0, &b, Layout::out_in, 0, matrix_of(b, Layout::out_in), c.precision};
    run(p, y.value, nullptr);
  }
  return {products, adapters.size()};
}

Var multiply(Context& c, const Var& x, Weight& weight, Layout layout, Weight* bias, const Var& residual) {
  const Product p = product_of(c, x, weight, layout);
  if (!residual.empty()) require_shape("linear", "residual", residual.shape(), p.y.shape());
  if (bias) require_count("linear", "bias", bias->value(), p.b.n);
  run(p, residual.value, bias);
  const std::span<const Product> adapters = add_adapters(c, x, weight, p.y);
  if (c.tape)
    c.tape->record({p.y}, [=](Tape& tape) {
      for (const Product& adapter : adapters) backward(tape, adapter);
      backward(tape, p);
      if (bias) bias_backward(tape, tape.gradient(p.y), *bias);
      pass_gradient(tape, p.y, residual);
    });
  return p.y;
}

}  // namespace

Var linear(Context& c, const Var& x, Weight& weight, Layout layout, const Var& residual) {
  return multiply(c, x, weight, layout, nullptr, residual);
}

Var linear(Context& c, const Var& x, const Affine& weights, const Var& residual) {
  return multiply(c, x, weights.weight, Layout::out_in, &weights.bias, residual);
}

void linear_each(Context& c, std::span<const Var> x, std::span<Weight* const> weights, Layout layout,
                 std::span<Var> out) {
  require(x.size() == weights.size() && x.size() == out.size() && !x.empty() && x.size() <= most_at_once,
          "linear_each: {} inputs and {} matrices, expected equally many, 1 to {}", x.size(), weights.size(),
          most_at_once);
  std::array<Product, most_at_once> products{};
  for (size_t i = 0; i < x.size(); ++i) products[i] = product_of(c, x[i], *weights[i], layout);
  run_each({products.data(), x.size()});
  for (size_t i = 0; i < x.size(); ++i) {
    const Product& p = products[i];
    const std::span<const Product> adapters = add_adapters(c, x[i], *weights[i], p.y);
    if (c.tape)
      c.tape->record({p.y}, [=](Tape& tape) {
        for (const Product& adapter : adapters) backward(tape, adapter);
        backward(tape, p);
      });
    out[i] = p.y;
  }
}

void linear_stack(Context& c, const Var& x, Weight& weight, std::span<Var> out) {
  const auto count = static_cast<int64_t>(out.size());
  require(weight.shape().rank() == 3 && weight.shape()[0] == count && out.size() <= most_at_once,
          "linear_stack: weight {} has shape {}, expected a stack of {} matrices", weight.name(),
          weight.shape(), count);
  const Matrix b = matrix_of(weight, Layout::in_out);
  require(x.cols() == count * b.k, "linear_stack: x has {} columns, {} expects {} for each of {} matrices",
          x.cols(), weight.name(), b.k, count);
  std::array<Product, most_at_once> products{};
  for (int64_t i = 0; i < count; ++i)
    products[static_cast<size_t>(i)] = {
        x, c.result({x.rows(), b.n}, x.dtype()), i * b.k, &weight, Layout::in_out, i, b, c.precision};
  run_each({products.data(), out.size()});
  for (size_t i = 0; i < out.size(); ++i) {
    const Product& p = products[i];
    if (c.tape) c.tape->record({p.y}, [p](Tape& tape) { backward(tape, p); });
    out[i] = p.y;
  }
}

}  // namespace aviary
