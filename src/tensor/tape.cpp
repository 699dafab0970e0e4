#include "tensor/tape.h"

#include <algorithm>

namespace aviary {

Tensor Tape::gradient(const Var& x) {
  bool fresh = false;
  Tensor dx = gradient(x, fresh);
  if (fresh) set_zero(dx);
  return dx;
}

Tensor Tape::gradient(const Var& x, bool& fresh) {
  fresh = false;
  if (!x.gradient) return {};
  if (x.gradient->tensor.empty()) {
    x.gradient->tensor = arena_.reserve(x.shape(), x.dtype());
    fresh = true;
  }
  return x.gradient->tensor;
}

bool Tape::take_over(const Var& y, const Var& x) {
  if (!x.gradient || !x.gradient->tensor.empty()) return false;
  x.gradient->tensor = y.gradient->tensor.reshaped(x.shape());
  y.gradient->tensor = {};
  return true;
}

void Tape::seed(const Var& y, const Tensor& dy) { copy(dy, gradient(y)); }

void Tape::backward() {
  for (auto record = records_.rbegin(); record != records_.rend(); ++record) {
    Gradient** end = record->outputs + record->output_count;
    bool reached =
        std::any_of(record->outputs, end, [](Gradient* output) { return !output->tensor.empty(); });
    if (!reached) continue;
    record->call(record->function, *this);
    for (Gradient** output = record->outputs; output != end; ++output) {
      if (!(*output)->tensor.empty()) arena_.release((*output)->tensor);
      (*output)->tensor = {};
    }
  }
  records_.clear();
}

}  // namespace aviary
