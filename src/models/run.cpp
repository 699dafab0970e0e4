#include "models/run.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "models/registry.h"

namespace aviary {
namespace {

// Token ids stored as floating-point numbers.
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
    if (parameter.spec.use == Use::vector) continue;
    const int64_t count = parameter.spec.shape.count();
    const Dtype type = parameter.weight.stored_type();
    all += count;
    if (type == Dtype::bf16 || is_quantized(type)) coarse += count;
  }
  return 2 * coarse > all ? kernels::Precision::bf16 : kernels::Precision::f32;
}

bool has_targets(std::span<const int32_t> targets) {
  return std::any_of(targets.begin(), targets.end(), [](int32_t target) { return target >= 0; });
}

Runner::Runner(Model& model, kernels::Precision precision)
    : model_(model),
      precision_(precision),
      layout_(std::make_shared<const StateLayout>(model.state_specs(), model.dtype())) {
  const kernels::Precision packed = model.parameters().packed_for().value_or(precision);
  require(packed == precision,
          "the weights of the model are packed for products in {}; load it again to run it in {}",
          name_of(kernels::type_of(packed)), name_of(kernels::type_of(precision)));
}

std::vector<State> Runner::new_states(int64_t sequences) const {
  std::vector<State> states;
  for (int64_t s = 0; s < sequences; ++s) states.push_back(new_state());
  return states;
}

Var Runner::state_var(StateSpan states, size_t part) {
  int64_t capacity = 0;
  for (int64_t s = 0; s < states.count(); ++s) capacity = std::max(capacity, states[s].capacity());
  const Shape own = layout_->shape(part, capacity);
  Shape shape{states.count()};
  for (int axis = 0; axis < own.rank(); ++axis) shape.append(own[axis]);
  auto table_of = [&]<typename T>(T) -> void* {
    auto** table = static_cast<T**>(arena_.allocate(states.count() * static_cast<int64_t>(sizeof(T*))));
    for (int64_t s = 0; s < states.count(); ++s) table[s] = states[s][part].template as<T>();
    return table;
  };
  return {Tensor(nullptr, shape, layout_->dtype()),
          nullptr,
          {layout_->dtype() == Dtype::f64 ? table_of(double()) : table_of(float())}};
}

void Runner::prepare_states(const Sequences& sequences, StateSpan states) {
  require(states.count() == sequences.count(), "forward: {} states for {} sequences", states.count(),
          sequences.count());
  positions_.clear();
  for (int64_t s = 0; s < sequences.count(); ++s) {
    require(takes(states[s]), "forward: state {} is of {}; make it with Runner::new_state()", s,
            states[s].empty() ? "no model" : "a model of another version or other sizes");
    positions_.push_back(states[s].position());
    states[s].reserve(positions_.back() + sequences.length(s));
  }
}

void Runner::begin(Context& c, std::span<const int32_t> tokens, StateSpan states, bool first_state) {
  const int64_t rows = c.sequences.rows();
  require(static_cast<int64_t>(tokens.size()) == rows, "forward: {} tokens, but the sequences have {} rows",
          tokens.size(), rows);
  require(rows > 0, "forward: no tokens");
  prepare_states(c.sequences, states);
  c.positions = positions_;
  vars_.clear();
  for (size_t i = 0; i < layout_->specs().size(); ++i) {
    vars_.push_back(state_var(states, i));
    if (first_state) vars_.back().gradient = c.tape->variable({}).gradient;
  }
  first_ = vars_;
  c.reuse = !c.tape;
}

Output Runner::forward(Context& c, std::span<const int32_t> tokens, StateSpan states, bool first_state) {
  begin(c, tokens, states, first_state);
  return model_.forward(c, tokens, vars_);
}

void Runner::advance(Context& c, std::span<const int32_t> tokens, StateSpan states) {
  for (size_t i = 0; i < vars_.size(); ++i) {
    if (vars_[i].places.table) continue;  // the next states are where they belong
    const bool history = layout_->specs()[i].is_history();
    for (int64_t s = 0; s < states.count(); ++s) {
      Tensor from = part_of(vars_[i].value, s), to = states[s][i];
      const int64_t filled = positions_[static_cast<size_t>(s)] + c.sequences.length(s);
      if (history) from = from.rows(0, filled * from.rows() / from.shape()[0]), to = to.rows(0, from.rows());
      copy(from, to);
    }
  }
  for (int64_t s = 0; s < states.count(); ++s) {
    const int64_t position = states[s].position();
    if (model_.context_limit() > 0) {
      const Tensor window = states[s][model_.window()];
      for (int64_t t = 0; t < c.sequences.length(s); ++t)
        set_id(window, position + t, tokens[static_cast<size_t>(c.sequences.begin(s) + t)]);
    }
    states[s].set_position(position + c.sequences.length(s));
  }
}

bool Runner::fits(const Sequences& sequences, StateSpan states) const {
  const int64_t limit = model_.context_limit();
  for (int64_t s = 0; limit > 0 && s < std::min(sequences.count(), states.count()); ++s)
    if (states[s].position() + sequences.length(s) > limit) return false;
  return true;
}

Tensor Runner::logits(std::span<const int32_t> tokens, const Sequences& sequences, StateSpan states,
                      std::span<const int64_t> wanted) {
  for (int64_t row : wanted)
    require(0 <= row && row < sequences.rows(), "logits: row {} is wanted, but the step has {} rows", row,
            sequences.rows());
  if (fits(sequences, states)) return logits_within(tokens, sequences, states, wanted);
  return logits_beyond(tokens, sequences, states, wanted);
}

Tensor Runner::all_logits(std::span<const int32_t> tokens, const Sequences& sequences, StateSpan states) {
  wanted_.resize(static_cast<size_t>(sequences.rows()));
  std::iota(wanted_.begin(), wanted_.end(), int64_t{0});
  return logits(tokens, sequences, states, wanted_);
}

Tensor Runner::last_logits(std::span<const int32_t> tokens, const Sequences& sequences, StateSpan states) {
  wanted_.clear();
  for (int64_t s = 0; s < sequences.count(); ++s) wanted_.push_back(sequences.end(s) - 1);
  return logits(tokens, sequences, states, wanted_);
}

template <typename Wanted, typename Take>
void Runner::read_beyond(std::span<const int32_t> tokens, State& state, Wanted are_wanted, Take take) {
  const int64_t limit = model_.context_limit(), position = state.position();
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
  const int64_t last = limit - 1;  // the row of the new token in the window
  for (int64_t t = inside; t < count; ++t) {
    std::rotate(window.begin(), window.begin() + 1, window.end());
    window.back() = tokens[static_cast<size_t>(t)];
    if (!are_wanted(t) && t + 1 < count) continue;  // the state is that of the last window only
    state.reset();
    const Tensor logits = logits_within(window, Sequences::uniform(1, limit), state,
                                        {&last, are_wanted(t) ? size_t{1} : size_t{0}});
    if (are_wanted(t)) take(t, logits);
  }
  state.set_position(position + count);
}

Tensor Runner::logits_beyond(std::span<const int32_t> tokens, const Sequences& sequences, StateSpan states,
                             std::span<const int64_t> wanted) {
  OwnedTensor result;
  if (!wanted.empty()) result = OwnedTensor({std::ssize(wanted), model_.config().vocab_size}, model_.dtype());
  for (int64_t s = 0; s < sequences.count(); ++s) {
    const int64_t begin = sequences.begin(s);
    const auto own = tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(sequences.length(s)));
    auto are_wanted = [&](int64_t t) { return std::count(wanted.begin(), wanted.end(), begin + t) > 0; };
    read_beyond(own, states[s], are_wanted, [&](int64_t t, const Tensor& logits) {
      for (int64_t i = 0; i < std::ssize(wanted); ++i)
        if (wanted[static_cast<size_t>(i)] == begin + t) copy(logits, result.view().rows(i, i + 1));
    });
  }
  beyond_ = std::move(result);
  return beyond_.view();
}

Tensor Runner::logits_within(std::span<const int32_t> tokens, const Sequences& sequences, StateSpan states,
                             std::span<const int64_t> wanted) {
  arena_.reset();
  Context c{arena_, sequences, precision_};
  const Output output = forward(c, tokens, states);
  const Tensor result = head_logits(c, output.x, model_.head(), output.copies, wanted, model_.head_bias());
  advance(c, tokens, states);
  return result;
}

void Runner::read_rows(std::span<const int32_t> tokens, const Sequences& sequences, StateSpan states,
                       std::span<const int64_t> places, const Visit& visit) {
  const int64_t layers = model_.config().n_layer;
  require(std::is_sorted(places.begin(), places.end()) &&
              (places.empty() || (places.front() >= 0 && places.back() <= layers + 1)),
          "read_rows: the places [{}] of a model of {} blocks, expected rising numbers from 0 to {}",
          fmt::join(places, ", "), layers, layers + 1);
  require(fits(sequences, states),
          "read_rows: an {} can look at {} tokens; a sequence cannot be longer than that",
          model_version(model_.config().version).title, model_.context_limit());
  arena_.reset();
  Context c{arena_, sequences, precision_};
  begin(c, tokens, states);
  Stream stream = model_.start(c, tokens, vars_);
  int64_t done = 0;
  for (const int64_t place : places) {
    const int64_t blocks = std::min(place, layers);
    model_.run(c, stream, done, blocks);
    done = blocks;
    visit(place, place > layers ? model_.finish(c, stream).x.value : stream.x.value);
  }
  advance(c, tokens, states);
}

double Runner::loss(std::span<const int32_t> tokens, std::span<const int32_t> targets,
                    const Sequences& sequences, StateSpan states, std::span<double> losses) {
  if (!fits(sequences, states)) {
    const Tensor all = all_logits(tokens, sequences, states);
    return cross_entropy(to_host(all), all.cols(), targets, losses);
  }
  arena_.reset();
  Context c{arena_, sequences, precision_};
  const Output output = forward(c, tokens, states);
  const double loss =
      head_loss(c, output.x, model_.head(), targets, {}, losses, output.copies, model_.head_bias());
  advance(c, tokens, states);
  return loss;
}

double Runner::loss_and_gradients(std::span<const int32_t> tokens, std::span<const int32_t> targets,
                                  const Sequences& sequences, StateSpan states, const Training& training) {
  require(
      fits(sequences, states),
      "train: an {} can look at {} tokens; a step cannot be longer, nor go on with the state of another one",
      model_version(model_.config().version).title, model_.context_limit());
  arena_.reset();
  tape_.clear();
  Context c{arena_, sequences, precision_, &tape_};
  c.dropout = training.dropout;
  if (training.recompute) return recomputed_loss_and_gradients(c, tokens, targets, states, training);
  const Output output = forward(c, tokens, states, training.first_state);
  // Before the loss, which adds to gradients of histories (Head-QK).
  for (size_t i = 0; i < training.last_state.size(); ++i)
    if (!training.last_state[i].empty() && vars_[i].gradient) tape_.seed(vars_[i], training.last_state[i]);
  double loss = 0;
  if (has_targets(targets))
    loss =
        head_loss(c, output.x, model_.head(), targets, training.loss, {}, output.copies, model_.head_bias());
  tape_.backward();
  advance(c, tokens, states);
  return loss;
}

}  // namespace aviary
