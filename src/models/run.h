// Running a model: forward with a state for inference, forward and backward for training.
#pragma once

#include <functional>
#include <memory>

#include "models/model.h"
#include "models/state.h"

namespace aviary {

// The default precision for products with the float32 weights of a model: f32, but bf16 (half as many bytes
// to read) if most numbers of its matrices and tables are stored in bf16 or quantized.
kernels::Precision usual_precision(const Model& model);

// Whether any target is trained on (>= 0).
bool has_targets(std::span<const int32_t> targets);

// A model and the memory to run it; must not be used by two threads at once. Threads may share a model whose
// weights are packed (ParameterTable::pack), each with its own Runner and states; weights of other models are
// packed at the first run, and again after changes. A model with a context limit reads the last
// context_limit() tokens again for every new token beyond it, like its original.
class Runner {
 public:
  // The precision of products with float32 weights. Throws Error if the weights are packed for another one.
  Runner(Model& model, kernels::Precision precision);
  // With the precision for which the weights are packed; f32 if they are not.
  explicit Runner(Model& model)
      : Runner(model, model.parameters().packed_for().value_or(kernels::Precision::f32)) {}
  Runner(const Runner&) = delete;  // the tape refers to the arena
  Runner& operator=(const Runner&) = delete;

  Model& model() { return model_; }
  kernels::Precision precision() const { return precision_; }
  State new_state() const { return State(layout_); }
  std::vector<State> new_states(int64_t sequences) const;
  // Whether the state is of this model or one of the same version and sizes.
  bool takes(const State& state) const { return !state.empty() && layout_->matches(state.layout()); }

  // Reads `tokens` [N], the tokens of one sequence after another; `states`, one for each sequence, are
  // updated in place to those after them. Returns the logits [wanted.size(), V] of the rows `wanted`, valid
  // until the next call; if no rows are wanted, an empty tensor, and the output matrix is not read. Throws
  // Error for a row that the step does not have.
  Tensor logits(std::span<const int32_t> tokens, const Sequences& sequences, StateSpan states,
                std::span<const int64_t> wanted);
  // The logits of every row [N, V], and of the last row of each sequence [S, V].
  Tensor all_logits(std::span<const int32_t> tokens, const Sequences& sequences, StateSpan states);
  Tensor last_logits(std::span<const int32_t> tokens, const Sequences& sequences, StateSpan states);

  // Reads the tokens through the blocks below the last of `places`, which ascend, and calls `visit` with the
  // rows [N, C] at each of them, which are valid during the call. Place i is the residual stream after i
  // blocks (0: before the first), which `visit` may change; place n_layer + 1 the rows that the output matrix
  // multiplies. Blocks above the last place are not run, and their parts of the states stay as they are.
  // Throws Error if a place does not exist, and if the sequences become longer than the context limit.
  using Visit = std::function<void(int64_t place, const Tensor& rows)>;
  void read_rows(std::span<const int32_t> tokens, const Sequences& sequences, StateSpan states,
                 std::span<const int64_t> places, const Visit& visit);

  // The mean cross entropy of targets [N] (rows with a target < 0 are ignored); `losses` [N], if given,
  // receives the loss of each row.
  double loss(std::span<const int32_t> tokens, std::span<const int32_t> targets, const Sequences& sequences,
              StateSpan states, std::span<double> losses = {});

  struct Training {
    LossOptions loss = {};
    Dropout dropout{};
    // Whether first_state_gradient() is asked for afterwards.
    bool first_state = false;
    // Additional gradients of the states after the step: for each part, the gradient [S, ...]; an empty
    // tensor for a part, or no tensors at all, mean 0.
    std::span<const Tensor> last_state{};
    // Keeps only the stream before each block, and computes every block a second time when its gradients are
    // needed (gradient checkpointing: Chen et al. 2016, arXiv 1604.06174): the memory of one block instead of
    // all, for a third more arithmetic. Same results within rounding. Not for models whose state grows with
    // the text.
    bool recompute = false;
  };
  // The same, and adds the gradients of the trainable weights. Without any target the loss is 0, and
  // gradients come from last_state alone.
  double loss_and_gradients(std::span<const int32_t> tokens, std::span<const int32_t> targets,
                            const Sequences& sequences, StateSpan states, const Training& training);
  // After loss_and_gradients() with `first_state`: the gradient [S, ...] with respect to a part of the states
  // before the step, valid until the next call. Empty if nothing depends on the part.
  Tensor first_state_gradient(size_t part) const { return first_[part].gradient->tensor; }

 private:
  // What precedes the first block of a step: the states become vars_.
  void begin(Context& c, std::span<const int32_t> tokens, StateSpan states, bool first_state = false);
  Output forward(Context& c, std::span<const int32_t> tokens, StateSpan states, bool first_state = false);
  void prepare_states(const Sequences& sequences, StateSpan states);
  struct Recomputation;
  double recomputed_loss_and_gradients(Context& c, std::span<const int32_t> tokens,
                                       std::span<const int32_t> targets, StateSpan states,
                                       const Training& training);
  // The states become those after the step.
  void advance(Context& c, std::span<const int32_t> tokens, StateSpan states);
  // Part `part` of the states, in place.
  Var state_var(StateSpan states, size_t part);
  // Whether the step stays within the context limit.
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
  std::vector<State> before_;       // copies of the states before the step, to compute blocks again
  std::vector<int64_t> positions_;  // of the sequences before the step
  std::vector<int64_t> wanted_;     // of all_logits() and last_logits()
  OwnedTensor beyond_;              // the last result of logits_beyond()
};

}  // namespace aviary
