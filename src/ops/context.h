// What an operator needs besides its arguments: memory, the tape if gradients are wanted, and the rows'
// sequences.
#pragma once

#include "base/error.h"
#include "base/random.h"
#include "kernels/matmul.h"
#include "tensor/sequences.h"
#include "tensor/tape.h"

namespace aviary {

// The two branches of a block, each added to what goes around it: x + att(x), x + ffn(x).
enum class Branch : uint8_t { att, ffn };

// Where dropout acts: d(att(x)), d(ffn(x)), d(x + att(x)), d(x + ffn(x)).
struct DropoutPlaces {
  bool att = true, ffn = true, after_att = false, after_ffn = false;

  bool on(Branch branch) const { return branch == Branch::att ? att : ffn; }
  bool after(Branch branch) const { return branch == Branch::att ? after_att : after_ffn; }
};

// Sets elements to zero at random in training, and scales up the others.
struct Dropout {
  double probability = 0;
  DropoutPlaces places{};
  Random* random = nullptr;  // needed where the probability is not 0

  bool acts(Branch branch) const { return probability > 0 && (places.on(branch) || places.after(branch)); }
};

struct Context {
  Arena& arena;
  const Sequences& sequences;
  kernels::Precision precision = kernels::Precision::f32;
  Tape* tape = nullptr;                  // null: nothing is recorded or kept
  std::span<const int64_t> positions{};  // tokens that each sequence has read before this step; empty: none
  Dropout dropout{};
  // Whether memory is used again within the step: what a block of the model has made is gone after it. Not
  // with a tape.
  bool reuse = false;

  int64_t position(int64_t sequence) const {
    return positions.empty() ? 0 : positions[static_cast<size_t>(sequence)];
  }

  // The result of an operator: a Var that takes part in differentiation when there is a tape.
  Var result(Shape shape, Dtype dtype) {
    Tensor value = arena.tensor(shape, dtype);
    return tape ? tape->variable(value) : Var{value};
  }
  Var result_like(const Var& x) { return result(x.shape(), x.dtype()); }
  // Where an operator puts the state after the step: with a tape in a new tensor, otherwise where it was.
  Var next_state(const Var& state) { return tape ? result_like(state) : state; }
};

// Shape checks that say which operator, which argument, what was expected and what came.
inline void require_shape(const char* op, const char* argument, const Shape& shape, const Shape& expected) {
  if (shape != expected) [[unlikely]]
    fail("{}: {} has shape {}, expected {}", op, argument, shape, expected);
}
inline void require_count(const char* op, const char* argument, const Tensor& tensor, int64_t expected) {
  if (tensor.count() != expected) [[unlikely]]
    fail("{}: {} has shape {}, expected {} elements", op, argument, tensor.shape(), expected);
}

}  // namespace aviary
