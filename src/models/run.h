// Running a model: forward with a state for inference, forward and backward for training.
#pragma once

#include <memory>

#include "models/model.h"
#include "models/state.h"

namespace aviary {

// How the float32 weights of a model are multiplied when nobody asks for a precision: in bf16 where this CPU
// multiplies it and most numbers of its matrices and tables are stored in bf16 or fewer bits anyway, else in
// f32.
kernels::Precision usual_precision(const Model& model);

// A model and the memory to run it; not for two threads at once. Threads share a model whose weights are
// packed (ParameterTable::pack), each with its own Runner and states; weights of any other model are packed
// at the first run, and again when they have changed. A model that can look at no more than context_limit()
// tokens reads the last so many again for every further token, as its original does.
class Runner {
 public:
  // Products with float32 weights are rounded to this precision. Throws Error when the weights are packed for
  // another.
  Runner(Model& model, kernels::Precision precision);
  // As the weights are packed; in f32 when they are not.
  explicit Runner(Model& model)
      : Runner(model, model.parameters().packed_for().value_or(kernels::Precision::f32)) {}
  Runner(const Runner&) = delete;  // the tape knows its arena
  Runner& operator=(const Runner&) = delete;

  Model& model() { return model_; }
  kernels::Precision precision() const { return precision_; }
  State new_state() const { return State(layout_); }
  std::vector<State> new_states(int64_t sequences) const;
  // Whether the state is of this model or one of the same version and sizes.
  bool takes(const State& state) const { return !state.empty() && layout_->matches(state.layout()); }

  // Reads `tokens` [N], those of the sequences one below the other; `states`, one for each sequence, become
  // the states after them, where they lie. Returns the logits [wanted.size(), V] of the rows `wanted` of the
  // N, valid until the next call; where none are wanted, an empty tensor, and the output matrix is not read.
  // Throws Error for a row that the step does not have.
  Tensor logits(std::span<const int32_t> tokens, const Sequences& sequences, StateSpan states,
                std::span<const int64_t> wanted);
  // Those of every row [N, V], and of the last row of each sequence [S, V].
  Tensor all_logits(std::span<const int32_t> tokens, const Sequences& sequences, StateSpan states);
  Tensor last_logits(std::span<const int32_t> tokens, const Sequences& sequences, StateSpan states);

  // The mean cross entropy of targets [N] (< 0 counts for nothing); `losses` [N] receives each row's, where
  // given.
  double loss(std::span<const int32_t> tokens, std::span<const int32_t> targets, const Sequences& sequences,
              StateSpan states, std::span<double> losses = {});

  struct Training {
    LossOptions loss;
    double dropout = 0;
    DropoutPlaces dropout_places{};
    Random* random = nullptr;  // needed with dropout
    // Whether first_state_gradient() is asked for afterwards.
    bool first_state = false;
    // What else depends on the states after the step: the gradient of that by each part, [S, ...]; an empty
    // tensor for a part, or no tensors at all, mean 0.
    std::span<const Tensor> last_state{};
  };
  // The same, and adds the gradients to the trainable weights.
  double loss_and_gradients(std::span<const int32_t> tokens, std::span<const int32_t> targets,
                            const Sequences& sequences, StateSpan states, const Training& training);
  // Of the last loss_and_gradients() with `first_state`: the gradient [S, ...] by a part of the states before
  // the step, valid until the next call. Empty where nothing depends on the part.
  Tensor first_state_gradient(size_t part) const { return first_[part].gradient->tensor; }

 private:
  Output forward(Context& c, std::span<const int32_t> tokens, StateSpan states, bool first_state = false);
  // The states become those after the step.
  void advance(Context& c, std::span<const int32_t> tokens, StateSpan states);
  // Part `part` of the states, where they lie.
  Var state_var(StateSpan states, size_t part);
  // Whether the model can look at all that is read then.
  bool fits(const Sequences& sequences, StateSpan states) const;
  Tensor logits_within(std::span<const int32_t> tokens, const Sequences& sequences, StateSpan states,
                       std::span<const int64_t> wanted);
  Tensor logits_beyond(std::span<const int32_t> tokens, const Sequences& sequences, StateSpan states,
                       std::span<const int64_t> wanted);
  // The part of logits_beyond() for one sequence: calls take(row, logits) for the rows that are_wanted(row).
  template <typename Wanted, typename Take>
  void read_beyond(std::span<const int32_t> tokens, State& state, Wanted are_wanted, Take take);

  Model& model_;
  kernels::Precision precision_;
  std::shared_ptr<const StateLayout> layout_;  // of the states of the model
  Arena arena_;
  Tape tape_{arena_};               // kept for its memory
  std::vector<Var> vars_;           // the states within the step
  std::vector<Var> first_;          // those before it, where their gradients are asked for
  std::vector<int64_t> positions_;  // of the sequences before the step
  std::vector<int64_t> wanted_;     // of all_logits() and last_logits()
  OwnedTensor beyond_;              // the last result of logits_beyond()
};

}  // namespace aviary
