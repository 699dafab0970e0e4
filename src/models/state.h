// What a recurrent model remembers: a value that can be copied, stacked and compared.
#pragma once

#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace aviary {

// One part of the state of one sequence.
struct StateSpec {
  std::string name;  // "blocks.0.att.wkv"
  Shape shape;
  double initial = 0;
};

// The state of `sequences` sequences: tensor i has the shape of spec i behind an axis of sequences.
class State {
 public:
  State() = default;
  // The state before the first token.
  State(const std::vector<StateSpec>& specs, int64_t sequences, Dtype dtype);
  State(const State& other) { *this = other; }
  State& operator=(const State& other);
  State(State&&) = default;
  State& operator=(State&&) = default;

  // Back to before the first token, in the same memory.
  void reset(const std::vector<StateSpec>& specs);

  int64_t sequences() const { return tensors_.empty() ? 0 : tensors_[0].view().shape()[0]; }
  size_t size() const { return tensors_.size(); }
  const Tensor& operator[](size_t i) const { return tensors_[i].view(); }
  int64_t bytes() const;

  // Sequence `index` of `from` becomes sequence `to` of this state.
  void assign(int64_t to, const State& from, int64_t index);

 private:
  std::vector<OwnedTensor> tensors_;
};

// The largest absolute difference between two states of the same shape.
double largest_difference(const State& a, const State& b);

}  // namespace aviary
