// The layers around the blocks of every version, the loop over the blocks, and the memory of a step.
#include "models/model.h"

#include <algorithm>

#include "base/error.h"
#include "models/shape_map.h"

namespace aviary {
namespace {

// Allocates memory for the stream between blocks. Values that exist before the first block keep their memory,
// except x, which every block changes.
Stream::Places places_of(Context& c, const Stream& s, size_t kept) {
  auto rows = [&] { return c.arena.tensor(s.x.shape(), s.x.dtype()); };
  Stream::Places places{.x = rows()};
  for (size_t i = 0; i < kept; ++i) places.kept[i] = s.kept[i].empty() ? rows() : s.kept[i].value;
  return places;
}

bool wants_gradient(const Var& x) { return x.gradient != nullptr; }

void keep(Var& value, const Tensor& place) {
  if (value.empty() || value.value.data() == place.data()) return;
  copy(value.value, place);
  value.value = place;
}

}  // namespace

Output Model::forward(Context& c, std::span<const int32_t> tokens, std::span<Var> state) {
  Stream s = start(c, tokens, state);
  run(c, s, 0, config_.n_layer);
  return finish(c, s);
}

Stream Model::start(Context& c, std::span<const int32_t> tokens, std::span<Var> state) {
  Stream s{.tokens = tokens, .state = state};
  Tape* const tape = c.tape;
  if (first_recorded_block() >= 0) c.tape = nullptr;
  embed(c, s);
  c.tape = tape;
  if (c.reuse) s.places = places_of(c, s, kept_);
  return s;
}

void Model::run(Context& c, Stream& s, int64_t first, int64_t last) {
  require(0 <= first && first <= last && last <= config_.n_layer, "blocks {} to {} of a model of {}", first,
          last, config_.n_layer);
  const Arena::Mark begin = c.arena.mark();
  Tape* const tape = c.tape;
  const bool differentiated =
      wants_gradient(s.x) || std::any_of(s.state.begin(), s.state.end(), wants_gradient);
  const int64_t recorded = differentiated ? first : first_recorded_block();
  for (int64_t layer = first; layer < last; ++layer) {
    c.tape = layer < recorded ? nullptr : tape;
    block(c, static_cast<size_t>(layer), s);
    c.tape = tape;
    if (!c.reuse) continue;
    for (size_t i = 0; i < kept_; ++i) keep(s.kept[i], s.places.kept[i]);
    keep(s.x, s.places.x);
    c.arena.rewind(begin);
  }
}

int64_t Model::first_recorded_block() const {
  const auto trained = std::find_if(parameters_.begin(), parameters_.end(), [](const Parameter& parameter) {
    return parameter.weight.leads_to_trained();
  });
  const int64_t at = std::distance(parameters_.begin(), trained);
  return std::upper_bound(block_begins_.begin(), block_begins_.end(), at) - block_begins_.begin() - 1;
}

Output Model::finish(Context& c, const Stream& s) {
  const Var x = layer_norm(c, s.x, *last_norm_);  // [N, C]
  Output output{before_head(c, x), {}};
  if (head_qk_) output.copies = copies(c, *head_qk_, x, s);
  return output;
}

Copies Model::copies(Context& c, HeadQk& p, const Var& x, const Stream& s) {
  auto project = [&](Weight& weight, Weight* bias) {
    const Var y = linear(c, x, weight);  // [N, D]
    return bias ? activate(c, Activation::none, y, bias) : y;
  };
  const Var ids{c.arena.tensor({c.sequences.rows(), 1}, dtype())};
  from_host(std::vector<double>(s.tokens.begin(), s.tokens.end()), ids.value);
  return {.q = project(p.q, p.q_bias),
          .keys = append_history(c, project(p.k, p.k_bias), s.state[p.keys]),
          .ids = append_history(c, ids, s.state[p.ids]),
          .scale = 1 / static_cast<double>(p.q.shape()[0]),
          .largest = p.largest};
}

void Model::embed(Context& c, Stream& s) {
  s.x = embedding(c, *embedding_, s.tokens);  // [N, C]
  if (first_norm_) s.x = layer_norm(c, s.x, *first_norm_);
}

// ---- Construction

Model::Model(ModelConfig config, Dtype dtype) : config_(std::move(config)), parameters_(dtype) {
  set_token_shift("1");
}

void Model::set_token_shift(const std::string& by_default) {
  const std::string& asked = config_.text(option::token_shift);
  const std::string& shift = asked.empty() ? by_default : asked;
  shift_ = shift == "1" ? std::vector<int32_t>() : shift_distances(shift, config_.n_embd);
}

void Model::build(const ModelFrame& frame, const std::function<void(int64_t)>& add_block) {
  const Shape matrix{config_.vocab_size, config_.n_embd};
  auto add = [&](const TokenMatrix& of, Use use) {
    return &parameters_.add({std::string(of.name) + ".weight", use, matrix, of.start, of.decay});
  };
  embedding_ = add(frame.embedding, Use::table);
  if (!frame.first_norm.empty()) first_norm_.emplace(add_norm(frame.first_norm));
  auto next_parameter = [&] { return std::distance(parameters_.begin(), parameters_.end()); };
  for (int64_t layer = 0; layer < config_.n_layer; ++layer) {
    block_begins_.push_back(next_parameter());
    add_block(layer);
  }
  block_begins_.push_back(next_parameter());
  last_norm_.emplace(add_norm(frame.last_norm));
  head_ = add(frame.head, Use::out_in);
  if (frame.head_bias)
    head_bias_ = &parameters_.add(
        {std::string(frame.head.name) + ".bias", Use::vector, {config_.vocab_size}, init::constant(0)});
  if (config_.has(option::head_qk)) add_head_qk(frame.head_qk);
}

void Model::add_head_qk(const HeadQkStart& start) {
  const int64_t width = config_.number(option::head_qk);
  auto bias = [&](const char* name) {
    return start.biased ? &parameters_.add({name, Use::vector, {width}, init::constant(0)}) : nullptr;
  };
  const Shape matrix{width, config_.n_embd};
  Weight& q = parameters_.add({"head_q.weight", Use::out_in, matrix, start.q});
  Weight* q_bias = bias("head_q.bias");
  Weight& k = parameters_.add({"head_k.weight", Use::out_in, matrix, start.k});
  Weight* k_bias = bias("head_k.bias");
  const size_t keys = add_state({"head.keys", StateKind::history, {width}});
  const size_t ids = add_state({"head.ids", StateKind::history, {1}});
  head_qk_.emplace(HeadQk{q, k, q_bias, k_bias, keys, ids, config_.has(option::head_qk_max)});
}

size_t Model::add_kept() {
  require(kept_ < Stream::most_kept, "a model can keep {} values besides x, not more", Stream::most_kept);
  return kept_++;
}

Norm Model::add_norm(const std::string& name, double weight, int64_t width) {
  const Shape shape{width > 0 ? width : config_.n_embd};
  Weight& scale = parameters_.add({name + ".weight", Use::vector, shape, init::constant(weight)});
  return {scale, parameters_.add({name + ".bias", Use::vector, shape, init::constant(0)})};
}

size_t Model::add_state(StateSpec spec) {
  state_specs_.push_back(std::move(spec));
  return state_specs_.size() - 1;
}

size_t Model::add_shift_state(const std::string& name) {
  const int64_t C = config_.n_embd;
  if (shift_.empty()) return add_state({name, StateKind::shift, {C}});
  const int32_t depth = std::max(1, *std::max_element(shift_.begin(), shift_.end()));
  return add_state({name, StateKind::shift, {depth, C}});
}

void Model::limit_context(int64_t tokens) {
  context_limit_ = tokens;
  window_ = add_state({"window", StateKind::window, {tokens}});
}

}  // namespace aviary
