// The state of a recurrent model: a value that can be copied, stored and compared.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace aviary {

// The kind of a part of the state.
enum class StateKind : uint8_t {
  recurrence,  // the sums of a recurrence
  shift,       // the last rows before the step, for token shifts
  history,     // one row per token read, for attention: the first `position` of `capacity` rows are used, the
               // others are 0
  window,      // the last tokens themselves, for a model with a context limit
};

// What becomes of a part of the state when the state that texts begin with is tuned (train/trained_parts.h).
enum class WhenTuned : uint8_t {
  unchanged,
  trained,
  trained_not_negative,
  zero,  // it begins with 0 instead of `initial`
};

// One part of the state of one sequence.
struct StateSpec {
  std::string name;  // "blocks.0.att.wkv"
  StateKind kind;
  Shape shape;         // of a history: of a row
  double initial = 0;  // the value of every number before the first token
  WhenTuned when_tuned = WhenTuned::unchanged;

  bool is_history() const { return kind == StateKind::history; }
};

// The layout of the parts of a state in its memory. All states of a Runner share one, which may outlive the
// Runner.
class StateLayout {
 public:
  StateLayout(std::vector<StateSpec> specs, Dtype dtype);

  const std::vector<StateSpec>& specs() const { return specs_; }
  Dtype dtype() const { return dtype_; }
  bool has_histories() const { return bytes_per_row_ > 0; }
  // Size of a state whose histories have room for `capacity` rows.
  int64_t bytes(int64_t capacity) const { return fixed_bytes_ + capacity * bytes_per_row_; }
  int64_t offset(size_t part, int64_t capacity) const {
    return specs_[part].is_history() ? fixed_bytes_ + capacity * offsets_[part] : offsets_[part];
  }
  Shape shape(size_t part, int64_t capacity) const;
  // Whether states of the other layout can take the place of states of this one.
  bool matches(const StateLayout& other) const;

 private:
  std::vector<StateSpec> specs_;
  Dtype dtype_;
  std::vector<int64_t> offsets_;  // for a history: per row of capacity, after all parts of fixed size
  int64_t fixed_bytes_ = 0, bytes_per_row_ = 0;
};

// The state of one sequence: tensor i has the shape of spec i, a history [capacity, ...]. All of it is one
// piece of memory, so that a copy of a state copies one piece; histories grow with the text.
class State {
 public:
  State() = default;
  // The state before the first token.
  explicit State(std::shared_ptr<const StateLayout> layout);
  State(const std::vector<StateSpec>& specs, Dtype dtype)
      : State(std::make_shared<const StateLayout>(specs, dtype)) {}
  // Copying to a state of the same size allocates nothing.
  State(const State& other) { *this = other; }
  State& operator=(const State& other);
  State(State&&) = default;
  State& operator=(State&&) = default;

  // Resets to the state before the first token, in the same memory.
  void reset();

  bool empty() const { return !layout_; }
  const StateLayout& layout() const { return *layout_; }
  // Tokens that the sequence has read.
  int64_t position() const { return position_; }
  void set_position(int64_t position) { position_ = position; }
  // Rows of every history; 0 if there is none.
  int64_t capacity() const { return capacity_; }
  // Makes room for `rows` tokens, if there are histories. The capacity depends only on the largest number.
  void reserve(int64_t rows);

  size_t size() const { return layout_ ? layout_->specs().size() : 0; }
  Tensor operator[](size_t part) const {
    return {static_cast<char*>(memory_.data()) + layout_->offset(part, capacity_),
            layout_->shape(part, capacity_), layout_->dtype()};
  }
  // Bytes of the numbers of all parts.
  int64_t bytes() const;

 private:
  std::shared_ptr<const StateLayout> layout_;
  Buffer memory_;
  int64_t capacity_ = 0, position_ = 0;
};

// The states of the sequences of a step, in order: a view of one state, of an array, or of arbitrary states.
class StateSpan {
 public:
  StateSpan(State& one) : first_(&one), count_(1) {}
  StateSpan(std::vector<State>& all) : first_(all.data()), count_(std::ssize(all)) {}
  // Each is there once.
  StateSpan(const std::vector<State*>& chosen) : StateSpan(std::span<State* const>(chosen)) {}
  StateSpan(std::span<State* const> chosen) : chosen_(chosen.data()), count_(std::ssize(chosen)) {}

  int64_t count() const { return count_; }
  State& operator[](int64_t s) const { return chosen_ ? *chosen_[s] : first_[s]; }

 private:
  State* first_ = nullptr;
  State* const* chosen_ = nullptr;
  int64_t count_ = 0;
};

// Part `part` of all states, one after another, as a copy [S, ...]; histories have the same capacity.
OwnedTensor stacked(std::span<const State> states, size_t part);

// The largest absolute difference between two states of the same model: NaN if any difference is NaN,
// infinite if they have read different numbers of tokens.
double largest_difference(const State& a, const State& b);

}  // namespace aviary
