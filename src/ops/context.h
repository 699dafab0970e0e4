// What an operator needs in addition to its arguments: memory, the tape if gradients are needed, and the
// sequences of the rows.
#pragma once

#include "base/error.h"
#include "base/random.h"
#include "kernels/matmul.h"
#include "tensor/sequences.h"
#include "tensor/tape.h"

namespace aviary {

// The two branches of a block, each added to the residual stream: x + att(x), x + ffn(x).
enum class Branch : uint8_t { att, ffn };

// Where dropout acts: d(att(x)), d(ffn(x)), d(x + att(x)), d(x + ffn(x)).
struct DropoutPlaces {
  bool att = true, ffn = true, after_att = false, after_ffn = false;

  bool on(Branch branch) const { return branch == Branch::att ? att : ffn; }
  bool after(Branch branch) const { return branch == Branch::att ? after_att : after_ffn; }
};

// Sets random elements to zero in training, and scales up the others.
struct Dropout {
  double probability = 0;
  DropoutPlaces places{};
  double adapters = 0;       // the probability for the inputs of trained adapters
  Random* random = nullptr;  // required if a probability is not 0

  bool acts(Branch branch) const { return probability > 0 && (places.on(branch) || places.after(branch)); }
};

struct Context {
  Arena& arena;
  const Sequences& sequences;
  kernels::Precision precision = kernels::Precision::f32;
  Tape* tape = nullptr;                  // null: nothing is recorded or kept
  std::span<const int64_t> positions{};  // tokens read by each sequence so far; empty: 0
  Dropout dropout{};
  // Whether memory is reused within the step: values computed in a block are not valid after it. Not with a
  // tape.
  bool reuse = false;

  int64_t position(int64_t sequence) const {
    return positions.empty() ? 0 : positions[static_cast<size_t>(sequence)];
  }

  // The result of an operator: a Var, with a gradient if there is a tape.
  Var result(Shape shape, Dtype dtype) {
    Tensor value = arena.tensor(shape, dtype);
    return tape ? tape->variable(value) : Var{value};
  }
  Var result_like(const Var& x) { return result(x.shape(), x.dtype()); }
  // Memory for the state after the step: with a tape a new tensor, otherwise in place.
  Var next_state(const Var& state) { return tape ? result_like(state) : state; }
};

// Shape checks whose errors name the operator and the argument, and the expected and the actual shape.
inline void require_shape(const char* op, const char* argument, const Shape& shape, const Shape& expected) {
  if (shape != expected) [[unlikely]]
    fail("{}: {} has shape {}, expected {}", op, argument, shape, expected);
}
inline void require_count(const char* op, const char* argument, const Tensor& tensor, int64_t expected) {
  if (tensor.count() != expected) [[unlikely]]
    fail("{}: {} has shape {}, expected {} elements", op, argument, tensor.shape(), expected);
}

}  // namespace aviary
