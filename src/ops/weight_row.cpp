// Weights used by an operator as a row [1, C], like an activation shared by all tokens.
//   row_c = weight_h or e^{weight_h}, h the head that c belongs to;  dweight_h = sum of drow_c (times row_c)
#include <cmath>
#include <cstring>

#include "ops/accumulate.h"
#include "ops/mapped.h"
#include "ops/ops.h"

namespace aviary {

namespace {

// Repeats every number.
Tensor repeated(Context& c, const Tensor& numbers, int64_t times) {
  const int64_t size = size_of(numbers.dtype());
  const Tensor all = c.arena.tensor({numbers.count() * times}, numbers.dtype());
  for (int64_t i = 0; i < all.count(); ++i)
    std::memcpy(static_cast<char*>(all.data()) + i * size,
                static_cast<const char*>(numbers.data()) + i / times * size, static_cast<size_t>(size));
  return all;
}

}  // namespace

Var weight_row(Context& c, Weight& weight, int64_t cols, bool exponential) {
  const int64_t count = weight.shape().count();
  require(count > 0 && cols % count == 0, "weight_row: {} has shape {}, expected {} numbers or one per head",
          weight.name(), weight.shape(), cols);
  const bool direct = count == cols && !exponential;
  Tensor value =
      exponential ? mapped(c, weight.value(), [](double w) { return std::exp(w); }) : weight.value();
  if (count < cols) value = repeated(c, value, cols / count);
  value = value.reshaped({1, cols});
  if (!c.tape || !weight.trainable()) return {value};
  Var row = c.tape->variable(value);
  c.tape->record({row}, [=, &weight](Tape& tape) {
    const Tensor drow = tape.gradient(row);
    if (direct) return accumulate(drow, weight.gradient());
    const std::vector<double> from = to_host(drow), scale = to_host(value);
    std::vector<double> to = to_host(weight.gradient());
    for (int64_t i = 0; i < cols; ++i)
      to[static_cast<size_t>(i * count / cols)] +=
          from[static_cast<size_t>(i)] * (exponential ? scale[static_cast<size_t>(i)] : 1);
    from_host(to, weight.gradient());
  });
  return row;
}

}  // namespace aviary
