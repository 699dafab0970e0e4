#include "models/run.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "models/registry.h"

namespace aviary {
namespace {

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
  for (size_t i = 0; i < state.size(); ++i) vars_.push_back({state[i]});
  c.in_place = !c.tape;
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

Tensor Runner::logits(std::span<const int32_t> tokens, const Sequences& sequences, State& state,
                      std::span<const int64_t> wanted) {
  for (int64_t row : wanted)
    require(0 <= row && row < sequences.rows(), "logits: row {} is wanted, but the step has {} rows", row,
            sequences.rows());
  if (fits(sequences, state)) return logits_within(tokens, sequences, state, wanted);
  return logits_beyond(tokens, sequences, state, wanted);
}

Tensor Runner::all_logits(std::span<const int32_t> tokens, const Sequences& sequences, State& state) {
  wanted_.resize(static_cast<size_t>(sequences.rows()));
  std::iota(wanted_.begin(), wanted_.end(), int64_t{0});
  return logits(tokens, sequences, state, wanted_);
}

Tensor Runner::last_logits(std::span<const int32_t> tokens, const Sequences& sequences, State& state) {
  wanted_.clear();
  for (int64_t s = 0; s < sequences.count(); ++s) wanted_.push_back(sequences.end(s) - 1);
  return logits(tokens, sequences, state, wanted_);
}

template <typename Wanted, typename Take>
void Runner::read_beyond(std::span<const int32_t> tokens, State& state, Wanted are_wanted, Take take) {
  const int64_t limit = model_.context_limit(), position = state.positions()[0];
  const auto count = static_cast<int64_t>(tokens.size());
  const int64_t inside = std::clamp<int64_t>(limit - position, 0, count);
  if (inside > 0) {
    std::vector<int64_t> rows;
    for (int64_t t = 0; t < inside; ++t)
      if (are_wanted(t)) rows.push_back(t);
    const Tensor logits =
        logits_within(tokens.first(static_cast<size_t>(inside)), Sequences::uniform(1, inside), state, rows);
    for (int64_t i = 0; i < std::ssize(rows); ++i) take(rows[static_cast<size_t>(i)], logits.rows(i, i + 1));
  }
  std::vector<int32_t> window(static_cast<size_t>(limit));
  for (int64_t i = 0; i < limit; ++i) window[static_cast<size_t>(i)] = id_at(state[model_.window()], i);
  const int64_t last = limit - 1;  // the row of the window that is the new token's
  for (int64_t t = inside; t < count; ++t) {
    std::rotate(window.begin(), window.begin() + 1, window.end());
    window.back() = tokens[static_cast<size_t>(t)];
    if (!are_wanted(t) && t + 1 < count) continue;  // the state is that of the last window alone
    state = new_state();
    const Tensor logits = logits_within(window, Sequences::uniform(1, limit), state,
                                        {&last, are_wanted(t) ? size_t{1} : size_t{0}});
    if (are_wanted(t)) take(t, logits);
  }
  state.set_position(0, position + count);
}

Tensor Runner::logits_beyond(std::span<const int32_t> tokens, const Sequences& sequences, State& state,
                             std::span<const int64_t> wanted) {
  OwnedTensor result;
  if (!wanted.empty()) result = OwnedTensor({std::ssize(wanted), model_.config().vocab_size}, model_.dtype());
  for (int64_t s = 0; s < sequences.count(); ++s) {
    State one = new_state();
    one.assign(0, state, s);
    const int64_t begin = sequences.begin(s);
    const auto own = tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(sequences.length(s)));
    auto are_wanted = [&](int64_t t) { return std::count(wanted.begin(), wanted.end(), begin + t) > 0; };
    read_beyond(own, one, are_wanted, [&](int64_t t, const Tensor& logits) {
      for (int64_t i = 0; i < std::ssize(wanted); ++i)
        if (wanted[static_cast<size_t>(i)] == begin + t) copy(logits, result.view().rows(i, i + 1));
    });
    state.assign(s, one, 0);
  }
  beyond_ = std::move(result);
  return beyond_.view();
}

Tensor Runner::logits_within(std::span<const int32_t> tokens, const Sequences& sequences, State& state,
                             std::span<const int64_t> wanted) {
  arena_.reset();
  Context c{arena_, sequences, precision_};
  const Output output = forward(c, tokens, state);
  const Tensor result = head_logits(c, output.x, model_.head(), output.copies, wanted, model_.head_bias());
  advance(tokens, sequences, state);
  return result;
}

double Runner::loss(std::span<const int32_t> tokens, std::span<const int32_t> targets,
                    const Sequences& sequences, State& state, std::span<double> losses) {
  if (!fits(sequences, state)) {
    const Tensor all = all_logits(tokens, sequences, state);
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
  Context c{arena_, sequences, precision_, &tape_};
  c.dropout = {training.dropout, training.dropout_places, training.random};
  const Output output = forward(c, tokens, state);
  const double loss =
      head_loss(c, output.x, model_.head(), targets, training.loss, {}, output.copies, model_.head_bias());
  tape_.backward();
  advance(tokens, sequences, state);
  return loss;
}

}  // namespace aviary
