// What a recurrent model remembers: a value that can be copied, stacked and compared.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace aviary {

// What a part of the state holds.
enum class StateKind : uint8_t {
  recurrence,  // what a recurrence has summed up
  shift,       // the last rows before the step, for token shift
  history,     // a row for every token read, for attention: of `capacity` rows the first `position` are
               // filled, the others are 0
  window,      // the last tokens themselves, of a model that can look at no more than so many
};

// One part of the state of one sequence.
struct StateSpec {
  std::string name;  // "blocks.0.att.wkv"
  StateKind kind;
  Shape shape;         // of a history: of a row
  double initial = 0;  // every number, before the first token
};

// The state of `sequences` sequences: tensor i has the shape of spec i behind an axis of sequences, a history
// [sequences, capacity, ...].
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

  int64_t sequences() const { return static_cast<int64_t>(positions_.size()); }
  // Tokens that each sequence has read.
  const std::vector<int64_t>& positions() const { return positions_; }
  void set_position(int64_t sequence, int64_t position) {
    positions_[static_cast<size_t>(sequence)] = position;
  }
  // Rows of every history; 0 when there is none.
  int64_t capacity() const;
  // Makes room for `rows` tokens of each sequence, if there are histories. The capacity depends on the
  // largest number alone.
  void reserve(int64_t rows);

  size_t size() const { return tensors_.size(); }
  const Tensor& operator[](size_t i) const { return tensors_[i].view(); }
  int64_t bytes() const;

  // Sequence `index` of `from` becomes sequence `to` of this state.
  void assign(int64_t to, const State& from, int64_t index);

 private:
  std::vector<OwnedTensor> tensors_;
  std::vector<bool> is_history_;
  std::vector<int64_t> positions_;
};

// The largest absolute difference between two states of the same model: NaN when any difference is, infinite
// when they have read different numbers of tokens.
double largest_difference(const State& a, const State& b);

}  // namespace aviary
