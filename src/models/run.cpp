#include "models/run.h"

#include "base/error.h"

namespace aviary {

Var Runner::hidden(Context& c, std::span<const int32_t> tokens, State& state, std::vector<Var>& vars) {
  const int64_t rows = c.sequences.rows(), sequences = c.sequences.count();
  require(static_cast<int64_t>(tokens.size()) == rows, "forward: {} tokens, but the sequences have {} rows",
          tokens.size(), rows);
  require(rows > 0, "forward: no tokens");
  require(state.size() == model_.state_specs().size() && state.sequences() == sequences,
          "forward: the state is of {} sequences and {} parts, expected {} and {}", state.sequences(),
          state.size(), sequences, model_.state_specs().size());
  vars.reserve(state.size());
  for (size_t i = 0; i < state.size(); ++i) vars.push_back({state[i]});
  return model_.hidden(c, tokens, vars);
}

namespace {

void keep(const std::vector<Var>& vars, State& state) {
  for (size_t i = 0; i < vars.size(); ++i) copy(vars[i].value, state[i]);
}

}  // namespace

Tensor Runner::logits(std::span<const int32_t> tokens, const Sequences& sequences, State& state, Rows rows) {
  arena_.reset();
  Context c{arena_, sequences, precision_};
  std::vector<Var> vars;
  Var x = hidden(c, tokens, state, vars);
  if (rows == Rows::last && sequences.rows() != sequences.count()) {
    Var last = c.result({sequences.count(), x.cols()}, x.dtype());
    const int64_t bytes = x.cols() * size_of(x.dtype());
    for (int64_t s = 0; s < sequences.count(); ++s)
      std::memcpy(static_cast<char*>(last.value.data()) + s * bytes,
                  static_cast<const char*>(x.value.data()) + (sequences.end(s) - 1) * bytes,
                  static_cast<size_t>(bytes));
    x = last;
  }
  Tensor result = linear(c, x, model_.head()).value;
  keep(vars, state);
  return result;
}

double Runner::loss(std::span<const int32_t> tokens, std::span<const int32_t> targets,
                    const Sequences& sequences, State& state, std::span<double> losses) {
  arena_.reset();
  Context c{arena_, sequences, precision_};
  std::vector<Var> vars;
  Var x = hidden(c, tokens, state, vars);
  const double loss = head_loss(c, x, model_.head(), targets, {}, losses);
  keep(vars, state);
  return loss;
}

double Runner::loss_and_gradients(std::span<const int32_t> tokens, std::span<const int32_t> targets,
                                  const Sequences& sequences, State& state, const Training& training) {
  arena_.reset();
  tape_.clear();
  Context c{arena_, sequences, precision_, &tape_, training.dropout, training.random};
  std::vector<Var> vars;
  Var x = hidden(c, tokens, state, vars);
  const double loss = head_loss(c, x, model_.head(), targets, training.loss);
  tape_.backward();
  keep(vars, state);
  return loss;
}

}  // namespace aviary
