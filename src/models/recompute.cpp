// Gradients with the memory of one block: the forward pass keeps the stream before each block, the backward
// pass computes the blocks again, one after the other from the last to the first (Chen et al. 2016, arXiv
// 1604.06174).
#include <algorithm>
#include <cstring>

#include "models/run.h"
#include "ops/accumulate.h"

namespace aviary {
namespace {

// The stream before a block, in memory that lasts until the end of the step.
struct Kept {
  Tensor x;
  std::array<Tensor, Stream::most_kept> kept;  // empty: not computed yet
  uint64_t random = 0;                         // the counter of the dropout's random numbers
};

bool equal(const Tensor& a, const Tensor& b) {
  return !a.empty() && a.bytes() == b.bytes() &&
         std::memcmp(a.data(), b.data(), static_cast<size_t>(a.bytes())) == 0;
}

Tensor copied(Context& c, const Tensor& from) {
  const Tensor to = c.arena.tensor(from.shape(), from.dtype());
  copy(from, to);
  return to;
}

void set_counter(Context& c, uint64_t counter) {
  if (c.dropout.random) *c.dropout.random = Random(c.dropout.random->seed(), counter);
}
uint64_t counter_of(const Context& c) { return c.dropout.random ? c.dropout.random->counter() : 0; }

// Kept values that did not change since the last block share its copy.
Kept keep(Context& c, const Stream& s, const Kept* last) {
  Kept result{.x = copied(c, s.x.value), .kept = {}, .random = counter_of(c)};
  for (size_t i = 0; i < Stream::most_kept; ++i) {
    const Tensor& value = s.kept[i].value;
    if (value.empty()) continue;
    result.kept[i] = last && equal(last->kept[i], value) ? last->kept[i] : copied(c, value);
  }
  return result;
}

// Gradients that pass from block to block, in memory that lasts until the end of the step.
struct Passed {
  Tensor x;
  std::array<Tensor, Stream::most_kept> kept;
  std::array<bool, Stream::most_kept> kept_begun{};
};

Stream with_gradients(Tape& tape, const Kept& from, std::span<const int32_t> tokens, std::span<Var> state) {
  Stream s{.tokens = tokens, .state = state, .x = tape.variable(from.x)};
  for (size_t i = 0; i < Stream::most_kept; ++i)
    if (!from.kept[i].empty()) s.kept[i] = tape.variable(from.kept[i]);
  return s;
}

// Kept values may be the stream itself, as it was before the first block.
void add_gradient(Tape& tape, const Var& of, const Tensor& gradient) {
  if (!of.gradient) return;
  if (of.gradient->tensor.empty())
    tape.seed(of, gradient);
  else
    accumulate(gradient, of.gradient->tensor);
}

void seed(Tape& tape, const Stream& after, const Passed& passed) {
  add_gradient(tape, after.x, passed.x);
  for (size_t i = 0; i < Stream::most_kept; ++i)
    if (passed.kept_begun[i]) add_gradient(tape, after.kept[i], passed.kept[i]);
}

void take(const Stream& before, Passed& passed) {
  copy(before.x.gradient->tensor, passed.x);
  for (size_t i = 0; i < Stream::most_kept; ++i) {
    if (!before.kept[i].gradient || before.kept[i].gradient->tensor.empty()) continue;
    copy(before.kept[i].gradient->tensor, passed.kept[i]);
    passed.kept_begun[i] = true;
  }
}

}  // namespace

// One step. Everything that is kept between its parts lies in the arena before the mark `blocks_begin`, to
// which the memory is rewound after each of them.
struct Runner::Recomputation {
  Runner& runner;
  Context& c;
  std::span<const int32_t> tokens;
  const Training& training;
  std::vector<Kept> kept{};               // before each block, and after the last
  Passed passed{};                        // gradients of the stream
  std::vector<Tensor> first_gradients{};  // of the states before the step, if asked for
  Arena::Mark blocks_begin{};

  void prepare(StateSpan states) {
    runner.before_.resize(static_cast<size_t>(states.count()));
    for (int64_t s = 0; s < states.count(); ++s) runner.before_[static_cast<size_t>(s)] = states[s];
    runner.vars_.clear();
    runner.first_.clear();
    for (size_t i = 0; i < runner.layout_->specs().size(); ++i) {
      runner.vars_.push_back(runner.state_var(states, i));
      Var& first = runner.first_.emplace_back(runner.state_var(runner.before_, i));
      if (!training.first_state) continue;
      first.gradient = runner.tape_.variable({}).gradient;
      first_gradients.push_back(c.arena.tensor(first.shape(), first.dtype()));
    }
  }

  // Without the tape. model.run() frees what was allocated since it began, but not the copies made before.
  void forward() {
    c.tape = nullptr;
    c.reuse = true;
    Stream s = runner.model_.start(c, tokens, runner.vars_);
    const int64_t layers = runner.model_.config().n_layer;
    for (int64_t layer = 0; layer <= layers; ++layer) {
      kept.push_back(keep(c, s, kept.empty() ? nullptr : &kept.back()));
      if (layer < layers) runner.model_.run(c, s, layer, layer + 1);
    }
    passed.x = c.arena.tensor(s.x.shape(), s.x.dtype());
    set_zero(passed.x);
    for (size_t i = 0; i < Stream::most_kept; ++i)
      if (!s.kept[i].empty()) passed.kept[i] = c.arena.tensor(s.kept[i].shape(), s.kept[i].dtype());
    blocks_begin = c.arena.mark();
    c.tape = &runner.tape_;
    c.reuse = false;
  }

  // The layers after the blocks, and the loss.
  double finish(std::span<const int32_t> targets) {
    if (!has_targets(targets)) return 0;
    Model& model = runner.model_;
    const Stream last = with_gradients(*c.tape, kept.back(), tokens, runner.vars_);
    const Output output = model.finish(c, last);
    const double loss =
        head_loss(c, output.x, model.head(), targets, training.loss, {}, {}, model.head_bias());
    c.tape->backward();
    take(last, passed);
    c.arena.rewind(blocks_begin);
    return loss;
  }

  // Computes the block again and passes the gradients through it.
  void block(int64_t layer) {
    const Kept& from = kept[static_cast<size_t>(layer)];
    set_counter(c, from.random);
    std::vector<Var> state = runner.first_;
    const Stream before = with_gradients(*c.tape, from, tokens, state);
    Stream after = before;
    runner.model_.run(c, after, layer, layer + 1);
    seed(*c.tape, after, passed);
    for (size_t i = 0; i < training.last_state.size(); ++i)
      if (!training.last_state[i].empty() && state[i].gradient &&
          state[i].gradient != runner.first_[i].gradient)
        c.tape->seed(state[i], training.last_state[i]);
    c.tape->backward();
    take(before, passed);
    for (size_t i = 0; i < first_gradients.size(); ++i) {
      Tensor& gradient = runner.first_[i].gradient->tensor;
      if (gradient.empty() || gradient.data() == first_gradients[i].data()) continue;
      copy(gradient, first_gradients[i]);
      gradient = first_gradients[i];
    }
    c.arena.rewind(blocks_begin);
  }

  // The layers before the blocks.
  void start() {
    std::vector<Var> state = runner.first_;
    const Stream first = runner.model_.start(c, tokens, state);
    seed(*c.tape, first, passed);
    c.tape->backward();
  }
};

double Runner::recomputed_loss_and_gradients(Context& c, std::span<const int32_t> tokens,
                                             std::span<const int32_t> targets, StateSpan states,
                                             const Training& training) {
  require(!layout_->has_histories(),
          "recompute: the state of this model grows with the text; train it without --recompute");
  require(std::ssize(tokens) == c.sequences.rows(), "forward: {} tokens, but the sequences have {} rows",
          tokens.size(), c.sequences.rows());
  prepare_states(c.sequences, states);
  c.positions = positions_;
  Recomputation step{*this, c, tokens, training};
  step.prepare(states);
  step.forward();
  const uint64_t random = counter_of(c);
  const double loss = step.finish(targets);
  const int64_t recorded = model_.first_recorded_block();
  const int64_t lowest = training.first_state ? 0 : std::max<int64_t>(recorded, 0);
  for (int64_t layer = model_.config().n_layer - 1; layer >= lowest; --layer) step.block(layer);
  if (recorded < 0) step.start();
  set_counter(c, random);
  advance(c, tokens, states);
  return loss;
}

}  // namespace aviary
