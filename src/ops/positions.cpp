// Operators that depend on the position of a row.
//   rotary: (a, b) -> (a cos - b sin, b cos + a sin) with the angle position * frequency;
//           backward: the same with the negative angle
//   scale_by_position: y_t = w_t x_t,  dx_t = w_t dy_t,  dw_t = sum over sequences and columns of x_t dy_t
#include <cmath>

#include "ops/accumulate.h"
#include "ops/ops.h"

namespace aviary {
namespace {

// The position of every row, valid until the arena is reset.
const int64_t* positions_of_rows(Context& c) {
  const int64_t rows = c.sequences.rows();
  auto* positions = static_cast<int64_t*>(c.arena.allocate(rows * static_cast<int64_t>(sizeof(int64_t))));
  for (int64_t s = 0; s < c.sequences.count(); ++s)
    for (int64_t row = c.sequences.begin(s); row < c.sequences.end(s); ++row)
      positions[row] = c.position(s) + row - c.sequences.begin(s);
  return positions;
}

void rotate(const kernels::Rotary& shape, const Weight& frequencies, const Tensor& x, const Tensor& y) {
  if (x.dtype() == Dtype::f32) {
    kernels::rotary(shape, frequencies.value().as<float>(), x.as<float>(), y.as<float>());
    return;
  }
  const int64_t cols = x.cols(), F = shape.frequencies;
  if (x.data() != y.data()) copy(x, y);
  for (int64_t row = 0; row < shape.rows; ++row)
    for (int64_t first = row * cols; first < (row + 1) * cols; first += shape.head_size)
      for (int64_t i = 0; i < F; ++i) {
        const double angle = static_cast<double>(shape.positions[row]) * frequencies.value().as<double>()[i];
        const double cos = std::cos(angle), sin = shape.backward ? -std::sin(angle) : std::sin(angle);
        const double a = x.as<double>()[first + i], b = x.as<double>()[first + F + i];
        y.as<double>()[first + i] = a * cos - b * sin;
        y.as<double>()[first + F + i] = b * cos + a * sin;
      }
}

void scale_backward(Tape& tape, const Var& x, const Var& y, const Weight& weight, const int64_t* positions) {
  const Tensor dy = tape.gradient(y), dx = tape.gradient(x), dweight = weight.gradient();
  const int64_t rows = x.rows(), cols = x.cols();
  if (x.dtype() == Dtype::f32) {
    if (!dx.empty())
      kernels::scale_rows(weight.value().as<float>(), positions, dy.as<float>(), rows, cols, true,
                          dx.as<float>());
    if (dweight.empty()) return;
    const Tensor scratch = tape.scratch({rows}, Dtype::f32);
    kernels::scale_rows_backward(positions, x.value.as<float>(), dy.as<float>(), rows, cols,
                                 dweight.as<float>(), scratch.as<float>());
    tape.release(scratch);
    return;
  }
  for (int64_t i = 0; i < rows * cols; ++i) {
    const int64_t t = positions[i / cols];
    if (!dx.empty()) dx.as<double>()[i] += weight.value().as<double>()[t] * dy.as<double>()[i];
    if (!dweight.empty()) dweight.as<double>()[t] += x.value.as<double>()[i] * dy.as<double>()[i];
  }
}

}  // namespace

Var rotary(Context& c, int64_t heads, const Var& x, const Weight& frequencies) {
  const int64_t rows = c.sequences.rows(), cols = x.cols(), F = frequencies.shape().count();
  require_shape("rotary", "x", x.shape(), {rows, cols});
  require(heads > 0 && cols % heads == 0, "rotary: {} columns cannot be divided into {} heads", cols, heads);
  require(2 * F <= cols / heads, "rotary: {} frequencies turn {} columns, but a head has {}", F, 2 * F,
          cols / heads);
  kernels::Rotary shape{rows, heads, cols / heads, F, positions_of_rows(c), false};
  Var y = c.result_like(x);
  rotate(shape, frequencies, x.value, y.value);
  if (!c.tape) return y;
  shape.backward = true;
  c.tape->record({y}, [=, &frequencies](Tape& tape) {
    const Tensor dy = tape.gradient(y);  // not needed afterwards, so it becomes the gradient of x in place
    rotate(shape, frequencies, dy, dy);
    pass_gradient(tape, y, x);
  });
  return y;
}

Var scale_by_position(Context& c, const Var& x, Weight& weight) {
  const int64_t rows = c.sequences.rows(), length = weight.shape().count();
  require_shape("scale_by_position", "x", x.shape(), {rows, x.cols()});
  const int64_t* positions = positions_of_rows(c);
  for (int64_t row = 0; row < rows; ++row)
    require(positions[row] < length, "scale_by_position: position {} is beyond the context length of {}",
            positions[row], length);
  Var y = c.result_like(x);
  if (x.dtype() == Dtype::f32)
    kernels::scale_rows(weight.value().as<float>(), positions, x.value.as<float>(), rows, x.cols(), false,
                        y.value.as<float>());
  else
    for (int64_t i = 0; i < x.value.count(); ++i)
      y.value.as<double>()[i] =
          weight.value().as<double>()[positions[i / x.cols()]] * x.value.as<double>()[i];
  if (c.tape)
    c.tape->record({y}, [=, &weight](Tape& tape) { scale_backward(tape, x, y, weight, positions); });
  return y;
}

}  // namespace aviary
