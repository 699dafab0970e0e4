// Reverse-mode differentiation: operators record how to propagate gradients backward; backward() runs the
// records in reverse.
#pragma once

#include <initializer_list>
#include <new>
#include <span>
#include <type_traits>
#include <vector>

#include "tensor/arena.h"

namespace aviary {

// The accumulated gradient of a Var. Empty until the first contribution.
struct Gradient {
  Tensor tensor;
};

// Addresses of the parts of a tensor [S, ...] that are not contiguous: the states of the sequences of a step,
// each in the memory of its State.
struct Places {
  void* table = nullptr;  // S pointers to the type of the tensor; null: in one piece
  // Part s is at [s]. T must match the type.
  template <typename T>
  T* const* as() const {
    return static_cast<T* const*>(table);
  }
};

// A value of the computation. `gradient` is null without a tape, or if nothing that the value depends on is
// differentiated. Where `places` are set, `value` has a shape and a type, but no data; a gradient is in one
// piece always.
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

  // A value whose gradient is to be computed.
  Var variable(Tensor value) { return {value, new (arena_.allocate(sizeof(Gradient))) Gradient}; }

  // `backward(tape)` is called if at least one of `outputs` has a gradient. Its captures must be trivially
  // destructible: tensors, Vars, numbers, references.
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

  // The gradient of x, to be added to; zeroed at the first contribution. Empty if x needs no gradient.
  Tensor gradient(const Var& x);
  // The same for operators that can overwrite: not zeroed; `fresh` is set to true if nothing was contributed
  // before.
  Tensor gradient(const Var& x, bool& fresh);
  // If x has no gradient yet, moves the gradient of y to x without copying; y then has none. Returns whether
  // it did.
  bool take_over(const Var& y, const Var& x);
  // Sets the gradient from which the backward pass starts.
  void seed(const Var& y, const Tensor& dy);
  // Memory for use within the backward of one record.
  Tensor scratch(Shape shape, Dtype dtype) { return arena_.reserve(shape, dtype); }
  void release(const Tensor& tensor) { arena_.release(tensor); }

  // Runs the records in reverse and removes them. Gradients of leaves (Vars that are not the output of a
  // record) are kept.
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
