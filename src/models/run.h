// Running a model: forward with a state for inference, forward and backward for training.
#pragma once

#include "models/model.h"

namespace aviary {

// How the float32 weights of a model are multiplied when nobody asks for a precision: in bf16 where this CPU
// multiplies it and most numbers of the model rest in bf16 or fewer bits anyway, else in f32.
kernels::Precision usual_precision(const Model& model);

// A model and the memory to run it; not for two threads at once. Weights are repacked at the first run. A
// model that can look at no more than context_limit() tokens reads the last so many again for every further
// token, as its original does.
class Runner {
 public:
  explicit Runner(Model& model, kernels::Precision precision = kernels::Precision::f32)
      : model_(model), precision_(precision) {}
  Runner(const Runner&) = delete;  // the tape knows its arena
  Runner& operator=(const Runner&) = delete;

  Model& model() { return model_; }
  kernels::Precision precision() const { return precision_; }
  State new_state(int64_t sequences = 1) const {
    return State(model_.state_specs(), sequences, model_.dtype());
  }

  // Reads `tokens` [N], those of the sequences one below the other; state (of S sequences) becomes the state
  // after them. Returns the logits [wanted.size(), V] of the rows `wanted` of the N, valid until the next
  // call; where none are wanted, an empty tensor, and the output matrix is not read. Throws Error for a row
  // that the step does not have.
  Tensor logits(std::span<const int32_t> tokens, const Sequences& sequences, State& state,
                std::span<const int64_t> wanted);
  // Those of every row [N, V], and of the last row of each sequence [S, V].
  Tensor all_logits(std::span<const int32_t> tokens, const Sequences& sequences, State& state);
  Tensor last_logits(std::span<const int32_t> tokens, const Sequences& sequences, State& state);

  // The mean cross entropy of targets [N] (< 0 counts for nothing); `losses` [N] receives each row's, where
  // given.
  double loss(std::span<const int32_t> tokens, std::span<const int32_t> targets, const Sequences& sequences,
              State& state, std::span<double> losses = {});

  struct Training {
    LossOptions loss;
    double dropout = 0;
    DropoutPlaces dropout_places{};
    Random* random = nullptr;  // needed with dropout
  };
  // The same, and adds the gradients to the trainable weights.
  double loss_and_gradients(std::span<const int32_t> tokens, std::span<const int32_t> targets,
                            const Sequences& sequences, State& state, const Training& training);

 private:
  Output forward(Context& c, std::span<const int32_t> tokens, State& state);
  // The state becomes that after the step.
  void advance(std::span<const int32_t> tokens, const Sequences& sequences, State& state);
  // Whether the model can look at all that is read then.
  bool fits(const Sequences& sequences, const State& state) const;
  Tensor logits_within(std::span<const int32_t> tokens, const Sequences& sequences, State& state,
                       std::span<const int64_t> wanted);
  Tensor logits_beyond(std::span<const int32_t> tokens, const Sequences& sequences, State& state,
                       std::span<const int64_t> wanted);
  // The part of logits_beyond() for one sequence: calls take(row, logits) for the rows that are_wanted(row).
  template <typename Wanted, typename Take>
  void read_beyond(std::span<const int32_t> tokens, State& state, Wanted are_wanted, Take take);

  Model& model_;
  kernels::Precision precision_;
  Arena arena_;
  Tape tape_{arena_};            // kept for its memory
  std::vector<Var> vars_;        // the state within the step
  std::vector<int64_t> wanted_;  // of all_logits() and last_logits()
  OwnedTensor beyond_;           // the last result of logits_beyond()
};

}  // namespace aviary
