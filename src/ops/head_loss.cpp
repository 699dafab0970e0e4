// The output matrix and the cross entropy, fused, so that the logits [N, V] never exist as a whole.
//   loss = mean over rows of (log sum_j e^{l_j} - l_target),  l = x head^T + bias + copies (head_qk.cpp);
//   dl = (softmax(l) - onehot(target)) / N;  l2wrap adds 1e-4 max(l) / N to dl at the largest logit (L2Wrap
//   of the original trainers; the loss itself stays).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "ops/ops.h"

namespace aviary {
namespace {

constexpr double l2wrap_factor = 1e-4;
// Logits in memory at a time. For the gradient of x, a packed matrix is unpacked once for each of these
// chunks.
constexpr int64_t chunk_elements = int64_t{16} << 20, chunk_elements_packed = int64_t{64} << 20;

// One chunk in double precision: replaces the logits of `rows` rows by their gradient.
void reference(double* logits, const int32_t* targets, int64_t rows, int64_t cols, double scale, bool l2wrap,
               double* losses) {
  for (int64_t row = 0; row < rows; ++row, logits += cols) {
    losses[row] = 0;
    if (targets[row] < 0) {
      std::fill(logits, logits + cols, 0.0);
      continue;
    }
    const double* top = std::max_element(logits, logits + cols);
    const double largest = *top;
    const int64_t top_at = top - logits;
    double sum = 0;
    for (int64_t j = 0; j < cols; ++j) sum += std::exp(logits[j] - largest);
    losses[row] = std::log(sum) + largest - logits[targets[row]];
    for (int64_t j = 0; j < cols; ++j) logits[j] = std::exp(logits[j] - largest) / sum * scale;
    logits[targets[row]] -= scale;
    if (l2wrap) logits[top_at] += l2wrap_factor * largest * scale;
  }
}

// 0, 1, ... rows - 1
std::span<const int64_t> row_numbers(Context& c, int64_t rows) {
  auto* numbers = static_cast<int64_t*>(c.arena.allocate(rows * static_cast<int64_t>(sizeof(int64_t))));
  std::iota(numbers, numbers + rows, int64_t{0});
  return {numbers, static_cast<size_t>(rows)};
}

// These rows of x, without a copy if they are consecutive.
Tensor chosen_rows(Context& c, const Tensor& x, std::span<const int64_t> rows) {
  const int64_t count = std::ssize(rows);
  int64_t next = rows[0];
  if (std::all_of(rows.begin(), rows.end(), [&](int64_t row) { return row == next++; }))
    return x.rows(rows[0], next);
  const Tensor chosen = c.arena.tensor({count, x.cols()}, x.dtype());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = rows[static_cast<size_t>(i)];
    copy(x.rows(row, row + 1), chosen.rows(i, i + 1));
  }
  return chosen;
}

// logits = x head^T + bias
void multiply(Context& c, const Tensor& x, Weight& head, const Weight* bias, const Tensor& logits) {
  if (x.dtype() == Dtype::f64) {
    Context plain{c.arena, c.sequences};
    copy(linear(plain, {x}, head).value, logits);
    for (int64_t i = 0; bias && i < logits.count(); ++i)
      logits.as<double>()[i] += bias->value().as<double>()[i % logits.cols()];
    return;
  }
  float* out = logits.as<float>();
  kernels::matmul(x.as<float>(), x.rows(), x.cols(), head.forward(Layout::out_in, c.precision), out,
                  logits.cols(), false);
  if (bias) kernels::activate(Activation::none, out, bias->value().as<float>(), x.rows(), logits.cols(), out);
}

// dbias += sum over rows of dlogits
void push_back(Context& c, const Tensor& dlogits, Weight& bias) {
  if (!bias.trainable()) return;
  const int64_t rows = dlogits.rows(), vocabulary = dlogits.cols();
  if (dlogits.dtype() == Dtype::f64) {
    for (int64_t i = 0; i < dlogits.count(); ++i)
      bias.gradient().as<double>()[i % vocabulary] += dlogits.as<double>()[i];
    return;
  }
  Tensor scratch = c.arena.reserve({kernels::row_blocks, vocabulary}, Dtype::f32);
  kernels::sum_rows(dlogits.as<float>(), rows, vocabulary, bias.gradient().as<float>(), scratch.as<float>());
  c.arena.release(scratch);
}

// dx = dlogits head, or dx += where it has been begun, and dhead += dlogits^T x.
void push_back(Context& c, const Tensor& x, const Tensor& dlogits, Weight& head, const Tensor& dx,
               bool begun) {
  const int64_t rows = x.rows(), cols = x.cols(), vocabulary = dlogits.cols();
  if (x.dtype() == Dtype::f32) {
    const float* g = dlogits.as<float>();
    if (!dx.empty())
      head.multiply_back(Layout::out_in, c.precision, 0, g, rows, vocabulary, dx.as<float>(), cols, begun);
    if (head.trainable())
      kernels::matmul_transposed(g, vocabulary, x.as<float>(), cols, rows, vocabulary, cols,
                                 head.gradient().as<float>(), cols, c.precision);
    return;
  }
  if (!begun) set_zero(dx);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t j = 0; j < vocabulary; ++j) {
      const double g = dlogits.as<double>()[row * vocabulary + j];
      for (int64_t i = 0; i < cols; ++i) {
        if (!dx.empty()) dx.as<double>()[row * cols + i] += g * head.value().as<double>()[j * cols + i];
        if (head.trainable())
          head.gradient().as<double>()[j * cols + i] += g * x.as<double>()[row * cols + i];
      }
    }
}

}  // namespace

Tensor head_logits(Context& c, const Var& x, Weight& head, const Copies& copies,
                   std::span<const int64_t> rows, Weight* bias) {
  if (rows.empty()) return {};
  const Tensor logits = c.arena.tensor({std::ssize(rows), head.shape()[0]}, x.dtype());
  multiply(c, chosen_rows(c, x.value, rows), head, bias, logits);
  add_copies(c, copies, rows, logits);
  return logits;
}

double head_loss(Context& c, const Var& x, Weight& head, std::span<const int32_t> targets,
                 const LossOptions& options, std::span<double> losses, const Copies& copies, Weight* bias) {
  const int64_t rows = x.rows(), vocabulary = head.shape()[0];
  if (bias) require_count("head_loss", "bias", bias->value(), vocabulary);
  require(static_cast<int64_t>(targets.size()) == rows, "head_loss: {} targets for {} rows", targets.size(),
          rows);
  require(losses.empty() || losses.size() == targets.size(), "head_loss: room for {} losses, expected {}",
          losses.size(), targets.size());
  for (int32_t target : targets)
    require(target < vocabulary, "head_loss: target {} is outside the vocabulary of {}", target, vocabulary);
  const int64_t counted =
      std::count_if(targets.begin(), targets.end(), [](int32_t target) { return target >= 0; });
  require(counted > 0, "head_loss: no row has a target");
  const double scale = options.scale / static_cast<double>(counted);
  bool fresh = false;
  Tensor dx;
  if (c.tape) dx = c.tape->gradient(x, fresh);

  const int64_t elements = c.tape && !head.changeable() ? chunk_elements_packed : chunk_elements;
  const int64_t chunk = std::clamp<int64_t>(elements / vocabulary, 1, rows);
  Tensor logits = c.arena.reserve({chunk, vocabulary}, x.dtype());
  const std::span<const int64_t> all = copies.empty() ? std::span<const int64_t>() : row_numbers(c, rows);
  Tensor row_losses = c.arena.reserve({chunk}, Dtype::f64);
  double total = 0;
  for (int64_t begin = 0; begin < rows; begin += chunk) {
    const int64_t some = std::min(chunk, rows - begin);
    const Tensor part = x.value.rows(begin, begin + some);
    const Tensor out(logits.data(), {some, vocabulary}, x.dtype());
    const int32_t* wanted = targets.data() + begin;
    double* loss = row_losses.as<double>();
    const auto numbers =
        copies.empty() ? all : all.subspan(static_cast<size_t>(begin), static_cast<size_t>(some));
    multiply(c, part, head, bias, out);
    add_copies(c, copies, numbers, out);
    if (x.dtype() == Dtype::f64)
      reference(out.as<double>(), wanted, some, vocabulary, scale, options.l2wrap, loss);
    else
      kernels::cross_entropy(out.as<float>(), wanted, some, vocabulary, static_cast<float>(scale),
                             options.l2wrap, loss);
    for (int64_t row = 0; row < some; ++row) total += loss[row];
    if (!losses.empty()) std::copy(loss, loss + some, losses.begin() + begin);
    if (!c.tape) continue;
    push_back(c, part, out, head, dx.empty() ? dx : dx.rows(begin, begin + some), !fresh);
    add_copies_backward(c, copies, numbers, out);
    if (bias) push_back(c, out, *bias);
  }
  c.arena.release(logits);
  c.arena.release(row_losses);
  return total / static_cast<double>(counted);
}

}  // namespace aviary
