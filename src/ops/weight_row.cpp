// Weights that an operator takes as a row [1, C], like an activation that is the same for all tokens.
//   row_c = weight_h or e^{weight_h}, h the head that c belongs to;  dweight_h = sum of drow_c (times row_c)
#include <cmath>

#include "ops/accumulate.h"
#include "ops/ops.h"

namespace aviary {

Var weight_row(Context& c, Weight& weight, int64_t cols, bool exponential) {
  const int64_t count = weight.shape().count();
  require(count > 0 && cols % count == 0, "weight_row: {} has shape {}, expected {} numbers or one per head",
          weight.name(), to_string(weight.shape()), cols);
  const bool direct = count == cols && !exponential;
  Tensor value =
      direct ? weight.value().reshaped({1, cols}) : c.arena.tensor({1, cols}, weight.value().dtype());
  if (!direct) {  // one number per head: not worth a kernel
    const std::vector<double> from = to_host(weight.value());
    std::vector<double> to;
    for (double number : from)
      to.insert(to.end(), static_cast<size_t>(cols / count), exponential ? std::exp(number) : number);
    from_host(to, value);
  }
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
