// Reverse-mode differentiation: operators record how to push a gradient back; backward() runs the records in
// reverse.
#pragma once

#include <initializer_list>
#include <new>
#include <span>
#include <type_traits>
#include <vector>

#include "tensor/arena.h"

namespace aviary {

// Where the gradient of a Var is gathered. Empty until somebody contributes.
struct Gradient {
  Tensor tensor;
};

// Where the parts of a tensor [S, ...] lie when they lie apart: the states of a step's sequences, each in the
// memory of its own State.
struct Places {
  void* table = nullptr;  // S pointers to the type of the tensor; null: in one piece
  // Part s is at [s]. T must match the type.
  template <typename T>
  T* const* as() const {
    return static_cast<T* const*>(table);
  }
};

// A value of the computation. Without a tape, or when nothing it depends on is differentiated, `gradient` is
// null. Where `places` are set, `value` has a shape and a type, but no data; a gradient is in one piece
// always.
struct Var {
  Tensor value;
  Gradient* gradient = nullptr;
  Places places{};

  const Shape& shape() const { return value.shape(); }
  Dtype dtype() const { return value.dtype(); }
  int64_t rows() const { return value.rows(); }
  int64_t cols() const { return value.cols(); }
  bool empty() const { return value.empty(); }
};

class Tape {
 public:
  explicit Tape(Arena& arena) : arena_(arena) {}

  // A value that asks for its gradient.
  Var variable(Tensor value) { return {value, new (arena_.allocate(sizeof(Gradient))) Gradient}; }

  // `backward(tape)` is called when at least one of `outputs` has a gradient. What it captures must be
  // trivially destructible: tensors, Vars, numbers, references.
  template <typename Backward>
  void record(std::initializer_list<Var> outputs, Backward backward) {
    record(std::span<const Var>(outputs.begin(), outputs.size()), backward);
  }
  template <typename Backward>
  void record(std::span<const Var> outputs, Backward backward) {
    static_assert(std::is_trivially_destructible_v<Backward>);
    auto* copy = new (arena_.allocate(sizeof(Backward))) Backward(backward);
    auto* slots =
        static_cast<Gradient**>(arena_.allocate(static_cast<int64_t>(outputs.size() * sizeof(Gradient*))));
    int count = 0;
    for (const Var& output : outputs)
      if (output.gradient) slots[count++] = output.gradient;
    auto call = [](void* function, Tape& tape) { (*static_cast<Backward*>(function))(tape); };
    records_.push_back({call, copy, slots, count});
  }

  // The gradient of x to add to: zeroed at the first contribution. Empty when x wants none.
  Tensor gradient(const Var& x);
  // The same for operators that can overwrite: not zeroed, and `fresh` says that nothing was contributed
  // before.
  Tensor gradient(const Var& x, bool& fresh);
  // Makes the gradient of y the gradient of x, memory and all, if x has none yet; y then has none. Says
  // whether it did.
  bool take_over(const Var& y, const Var& x);
  // Sets the gradient from which the backward pass starts.
  void seed(const Var& y, const Tensor& dy);
  // Memory for the length of one record's backward.
  Tensor scratch(Shape shape, Dtype dtype) { return arena_.reserve(shape, dtype); }
  void release(const Tensor& tensor) { arena_.release(tensor); }

  // Runs the records in reverse and forgets them. Gradients of Vars that no record produced (leaves) stay.
  void backward();
  void clear() { records_.clear(); }

 private:
  struct Record {
    void (*call)(void* function, Tape& tape);
    void* function;
    Gradient** outputs;
    int output_count;
  };

  Arena& arena_;
  std::vector<Record> records_;
};

}  // namespace aviary
