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

struct Context {
  Arena& arena;
  const Sequences& sequences;
  kernels::Precision precision = kernels::Precision::f32;
  Tape* tape = nullptr;      // null: nothing is recorded or kept
  double dropout = 0;        // probability of setting an element to zero, at the places
  Random* random = nullptr;  // for dropout
  DropoutPlaces dropout_places{};
  std::span<const int64_t> positions{};  // tokens that each sequence has read before this step; empty: none

  // How many tokens above each channel looks in token shifts; empty: 1.
  std::span<const int32_t> shift{};

  // Whether memory is used again within the step: states change in place, at the latest where a layer ends,
  // and what the layer has made is gone then. Not with a tape.
  bool reuse = false;
  std::span<Var> states{};           // of the step, to be put
  std::span<const Tensor> places{};  // there
  Arena::Mark layers_begin{};
  Tensor living{};

  int64_t position(int64_t sequence) const {
    return positions.empty() ? 0 : positions[static_cast<size_t>(sequence)];
  }

  // The result of an operator: a Var that takes part in differentiation when there is a tape.
  Var result(Shape shape, Dtype dtype) {
    Tensor value = arena.tensor(shape, dtype);
    return tape ? tape->variable(value) : Var{value};
  }
  Var result_like(const Var& x) { return result(x.shape(), x.dtype()); }
  // Where an operator that can work in place puts the state after the step.
  Var next_state(const Var& state) { return reuse ? state : result_like(state); }

  // Where a layer ends: of all that it made, x [N, C] lives on, and what was made before the first layer
  // ended.
  void end_layer(Var& x) {
    if (!reuse) return;
    for (size_t i = 0; i < states.size(); ++i) {
      if (states[i].value.data() == places[i].data()) continue;
      copy(states[i].value, places[i]);
      states[i].value = places[i];
    }
    const bool first = living.empty();
    if (first) living = arena.tensor(x.shape(), x.dtype());
    if (x.value.data() != living.data()) copy(x.value, living);
    x.value = living;
    if (first)
      layers_begin = arena.mark();
    else
      arena.rewind(layers_begin);
  }
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
