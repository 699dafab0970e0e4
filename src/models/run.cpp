#include "models/run.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace aviary {
namespace {

Tensor row_of(const Tensor& matrix, int64_t row) {
  const int64_t cols = matrix.cols();
  return {
      static_cast<char*>(matrix.data()) + row * cols * size_of(matrix.dtype()), {1, cols}, matrix.dtype()};
}

// Token ids kept as numbers.
void set_id(const Tensor& tensor, int64_t at, int32_t id) {
  if (tensor.dtype() == Dtype::f64)
    tensor.as<double>()[at] = id;
  else
    tensor.as<float>()[at] = static_cast<float>(id);
}
int32_t id_at(const Tensor& tensor, int64_t at) {
  return static_cast<int32_t>(tensor.dtype() == Dtype::f64 ? tensor.as<double>()[at]
                                                           : static_cast<double>(tensor.as<float>()[at]));
}

// The mean cross entropy of rows of logits.
double cross_entropy(const std::vector<double>& logits, int64_t vocabulary, std::span<const int32_t> targets,
                     std::span<double> losses) {
  double total = 0;
  int64_t counted = 0;
  for (size_t row = 0; row < targets.size(); ++row) {
    if (!losses.empty()) losses[row] = 0;
    if (targets[row] < 0) continue;
    const auto begin = logits.begin() + static_cast<int64_t>(row) * vocabulary, end = begin + vocabulary;
    const double top = *std::max_element(begin, end);
    double sum = 0;
    for (auto logit = begin; logit != end; ++logit) sum += std::exp(*logit - top);
    const double loss = std::log(sum) + top - begin[targets[row]];
    if (!losses.empty()) losses[row] = loss;
    total += loss;
    ++counted;
  }
  return total / static_cast<double>(std::max<int64_t>(counted, 1));
}

// The rows of a step whose logits are wanted.
void find_wanted_rows(const Sequences& sequences, Runner::Rows rows, std::vector<int64_t>& wanted) {
  wanted.resize(static_cast<size_t>(rows == Runner::Rows::all ? sequences.rows() : sequences.count()));
  if (rows == Runner::Rows::all)
    std::iota(wanted.begin(), wanted.end(), int64_t{0});
  else
    for (int64_t s = 0; s < sequences.count(); ++s) wanted[static_cast<size_t>(s)] = sequences.end(s) - 1;
}

}  // namespace

kernels::Precision usual_precision(const Model& model) {
  int64_t all = 0, coarse = 0;
  for (const Parameter& parameter : model.parameters()) {
    const int64_t count = parameter.spec.shape.count();
    const Dtype type = parameter.weight.rest_type();
    all += count;
    if (type == Dtype::bf16 || is_quantized(type)) coarse += count;
  }
  return 2 * coarse > all ? kernels::fastest_precision() : kernels::Precision::f32;
}

Output Runner::forward(Context& c, std::span<const int32_t> tokens, State& state) {
  const int64_t rows = c.sequences.rows(), sequences = c.sequences.count();
  require(static_cast<int64_t>(tokens.size()) == rows, "forward: {} tokens, but the sequences have {} rows",
          tokens.size(), rows);
  require(rows > 0, "forward: no tokens");
  require(state.size() == model_.state_specs().size() && state.sequences() == sequences,
          "forward: the state is of {} sequences and {} parts, expected {} and {}", state.sequences(),
          state.size(), sequences, model_.state_specs().size());
  int64_t furthest = 0;
  for (int64_t s = 0; s < sequences; ++s)
    furthest = std::max(furthest, state.positions()[static_cast<size_t>(s)] + c.sequences.length(s));
  state.reserve(furthest);
  c.positions = state.positions();
  vars_.clear();
  places_.clear();
  for (size_t i = 0; i < state.size(); ++i) {
    vars_.push_back({state[i]});
    places_.push_back(state[i]);
  }
  if (!c.tape) c.reuse = true, c.states = vars_, c.places = places_;
  return model_.forward(c, tokens, vars_);
}

void Runner::advance(std::span<const int32_t> tokens, const Sequences& sequences, State& state) {
  for (size_t i = 0; i < vars_.size(); ++i)
    if (vars_[i].value.data() != state[i].data()) copy(vars_[i].value, state[i]);
  for (int64_t s = 0; s < sequences.count(); ++s) {
    const auto position = state.positions()[static_cast<size_t>(s)];
    if (model_.context_limit() > 0) {
      const Tensor& window = state[model_.window()];
      for (int64_t t = 0; t < sequences.length(s); ++t)
        set_id(window, s * model_.context_limit() + position + t,
               tokens[static_cast<size_t>(sequences.begin(s) + t)]);
    }
    state.set_position(s, position + sequences.length(s));
  }
}

bool Runner::fits(const Sequences& sequences, const State& state) const {
  const int64_t limit = model_.context_limit();
  for (int64_t s = 0; limit > 0 && s < sequences.count(); ++s)
    if (state.positions()[static_cast<size_t>(s)] + sequences.length(s) > limit) return false;
  return true;
}

Tensor Runner::logits(std::span<const int32_t> tokens, const Sequences& sequences, State& state, Rows rows) {
  if (fits(sequences, state)) return logits_within(tokens, sequences, state, rows);
  return logits_beyond(tokens, sequences, state, rows);
}

template <typename Take>
void Runner::read_beyond(std::span<const int32_t> tokens, State& state, Rows rows, Take take) {
  const int64_t limit = model_.context_limit(), position = state.positions()[0];
  const auto count = static_cast<int64_t>(tokens.size());
  const int64_t inside = std::clamp<int64_t>(limit - position, 0, count);
  if (inside > 0) {
    const Tensor logits = logits_within(tokens.first(static_cast<size_t>(inside)),
                                        Sequences::uniform(1, inside), state, Rows::all);
    for (int64_t t = 0; t < inside; ++t) take(t, row_of(logits, t));
  }
  std::vector<int32_t> window(static_cast<size_t>(limit));
  for (int64_t i = 0; i < limit; ++i) window[static_cast<size_t>(i)] = id_at(state[model_.window()], i);
  for (int64_t t = inside; t < count; ++t) {
    std::rotate(window.begin(), window.begin() + 1, window.end());
    window.back() = tokens[static_cast<size_t>(t)];
    if (rows == Rows::last && t + 1 < count) continue;
    state = new_state();
    take(t, row_of(logits_within(window, Sequences::uniform(1, limit), state, Rows::last), 0));
  }
  state.set_position(0, position + count);
}

Tensor Runner::logits_beyond(std::span<const int32_t> tokens, const Sequences& sequences, State& state,
                             Rows rows) {
  const Shape shape{rows == Rows::all ? sequences.rows() : sequences.count(), model_.config().vocab_size};
  OwnedTensor result(shape, model_.dtype());
  for (int64_t s = 0; s < sequences.count(); ++s) {
    State one = new_state();
    one.assign(0, state, s);
    const auto own =
        tokens.subspan(static_cast<size_t>(sequences.begin(s)), static_cast<size_t>(sequences.length(s)));
    read_beyond(own, one, rows, [&](int64_t t, const Tensor& logits) {
      if (rows == Rows::all) copy(logits, row_of(result.view(), sequences.begin(s) + t));
      if (rows == Rows::last && t + 1 == sequences.length(s)) copy(logits, row_of(result.view(), s));
    });
    state.assign(s, one, 0);
  }
  beyond_ = std::move(result);
  return beyond_.view();
}

Tensor Runner::logits_within(std::span<const int32_t> tokens, const Sequences& sequences, State& state,
                             Rows rows) {
  arena_.reset();
  Context c{arena_, sequences, precision_};
  const Output output = forward(c, tokens, state);
  find_wanted_rows(sequences, rows, wanted_);
  const Tensor result = head_logits(c, output.x, model_.head(), output.copies, wanted_, model_.head_bias());
  advance(tokens, sequences, state);
  return result;
}

double Runner::loss(std::span<const int32_t> tokens, std::span<const int32_t> targets,
                    const Sequences& sequences, State& state, std::span<double> losses) {
  if (!fits(sequences, state)) {
    const Tensor all = logits_beyond(tokens, sequences, state, Rows::all);
    return cross_entropy(to_host(all), all.cols(), targets, losses);
  }
  arena_.reset();
  Context c{arena_, sequences, precision_};
  const Output output = forward(c, tokens, state);
  const double loss =
      head_loss(c, output.x, model_.head(), targets, {}, losses, output.copies, model_.head_bias());
  advance(tokens, sequences, state);
  return loss;
}

double Runner::loss_and_gradients(std::span<const int32_t> tokens, std::span<const int32_t> targets,
                                  const Sequences& sequences, State& state, const Training& training) {
  require(fits(sequences, state),
          "train: an {} can look at {} tokens; a step cannot be longer, nor go on "
          "with the state of another one",
          model_version(model_.config().version).title, model_.context_limit());
  arena_.reset();
  tape_.clear();
  Context c{arena_, sequences, precision_, &tape_, training.dropout, training.random};
  c.dropout_places = training.dropout_places;
  const Output output = forward(c, tokens, state);
  const double loss =
      head_loss(c, output.x, model_.head(), targets, training.loss, {}, output.copies, model_.head_bias());
  tape_.backward();
  advance(tokens, sequences, state);
  return loss;
}

}  // namespace aviary
