// The list of versions, made by the build from the files that define one.
#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "models/model.h"

namespace aviary {

#define ENTRY(name) extern const ModelVersion name;
#include "model_list.inc"
#undef ENTRY

const std::vector<const ModelVersion*>& model_versions() {
  static const std::vector<const ModelVersion*> versions = {
#define ENTRY(name) &name,
#include "model_list.inc"
#undef ENTRY
  };
  return versions;
}

const std::vector<const ModelOption*>& model_options() {
  static const std::vector<const ModelOption*> options = [] {
    std::vector<const ModelOption*> all;
    for (const ModelVersion* version : model_versions())
      for (const ModelOption* option : version->options)
        if (std::none_of(all.begin(), all.end(), [&](const ModelOption* other) {
              return std::string_view(other->name) == option->name;
            }))
          all.push_back(option);
    return all;
  }();
  return options;
}

const ModelVersion& model_version(const std::string& name) {
  for (const ModelVersion* version : model_versions())
    if (name == version->name) return *version;
  std::string known;
  for (const ModelVersion* version : model_versions())
    known += (known.empty() ? "" : ", ") + std::string(version->name);
  fail("unknown model version \"{}\"; known are {}", name, known);
}

namespace {

std::string list_of(const std::vector<std::string>& names) {
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

void check_option(const ModelVersion& version, const std::string& name, const OptionValue& value) {
  const ModelOption* option = version.find_option(name);
  if (!option) {
    std::vector<std::string> known;
    for (const ModelOption* other : version.options) known.emplace_back(other->name);
    fail("{} has no option {} ({} was given); it has {}", version.name, name, describe(value),
         list_of(known));
  }
  const auto* number = std::get_if<int64_t>(&value);
  if (option->kind == OptionKind::text)
    require(number == nullptr, "{}: option {} is {}, expected a text", version.name, name, describe(value));
  else
    require(number && *number >= 0 && *number <= option->most,
            "{}: option {} is {}, expected a number from 0 to {}", version.name, name, describe(value),
            option->most);
}

}  // namespace

Output Model::forward(Context& c, std::span<const int32_t> tokens, std::span<Var> state) {
  c.shift = shift_;
  const Var x = hidden(c, tokens, state);  // [N, C]
  Output output{before_head(c, x), {}};
  if (!head_qk_) return output;
  HeadQk& p = *head_qk_;
  auto project = [&](Weight& weight, Weight* bias) {
    const Var y = linear(c, x, weight);  // [N, D]
    return bias ? activate(c, Activation::none, y, bias) : y;
  };
  const Var ids{c.arena.tensor({c.sequences.rows(), 1}, dtype())};
  from_host(std::vector<double>(tokens.begin(), tokens.end()), ids.value);
  output.copies = {.q = project(p.q, p.q_bias),
                   .keys = append_history(c, project(p.k, p.k_bias), state[p.keys]),
                   .ids = append_history(c, ids, state[p.ids]).value,
                   .scale = 1 / static_cast<double>(p.q.shape()[0]),
                   .largest = config_.has(option::head_qk_max)};
  return output;
}

void Model::set_token_shift(const std::string& by_default) {
  const std::string& asked = config_.text(option::token_shift);
  const std::string& shift = asked.empty() ? by_default : asked;
  shift_ = shift == "1" ? std::vector<int32_t>() : shift_distances(shift, config_.n_embd);
}

size_t Model::add_shift_state(const std::string& name) {
  const int64_t C = config_.n_embd;
  if (shift_.empty()) return add_state({name, StateKind::shift, {C}});
  return add_state(
      {name, StateKind::shift, {std::max(1, *std::max_element(shift_.begin(), shift_.end())), C}});
}

Norm Model::add_small_embedding(const std::string& embedding) {
  parameters_.find(embedding)->spec.initialize = init::uniform(1e-4);
  return add_norm("ln0");
}

void Model::add_head_qk(int64_t width, bool biased, Initializer init_q, Initializer init_k) {
  auto bias = [&](const char* name) {
    return biased ? &parameters_.add({name, Use::vector, {width}, init::constant(0)}) : nullptr;
  };
  const Shape matrix{width, config_.n_embd};
  Weight& q = parameters_.add({"head_q.weight", Use::out_in, matrix, std::move(init_q)});
  Weight* q_bias = bias("head_q.bias");
  Weight& k = parameters_.add({"head_k.weight", Use::out_in, matrix, std::move(init_k)});
  Weight* k_bias = bias("head_k.bias");
  const size_t keys = add_state({"head.keys", StateKind::history, {width}});
  head_qk_.emplace(HeadQk{q, k, q_bias, k_bias, keys, add_state({"head.ids", StateKind::history, {1}})});
}

Norm Model::add_norm(const std::string& name, double weight, int64_t width) {
  const Shape shape{width > 0 ? width : config_.n_embd};
  Weight& scale = parameters_.add({name + ".weight", Use::vector, shape, init::constant(weight)});
  return {scale, parameters_.add({name + ".bias", Use::vector, shape, init::constant(0)})};
}

ModelConfig complete(const ModelConfig& config) {
  const ModelVersion& version = model_version(config.version);
  require(
      std::count(version.recipes.begin(), version.recipes.end(), config.recipe) > 0 || config.recipe.empty(),
      "{} has no recipe \"{}\"; it has {}", config.version, config.recipe, fmt::join(version.recipes, ", "));
  require(std::count(version.variants.begin(), version.variants.end(), config.variant) > 0 ||
              config.variant.empty(),
          "{} has no variant \"{}\"; it has {}", config.version, config.variant, list_of(version.variants));
  for (const auto& [name, value] : config.options) check_option(version, name, value);
  require(config.n_layer > 0 && config.n_embd > 0 && config.vocab_size > 0,
          "{}: {} layers, width {} and a vocabulary of {}: each must be at least 1", config.version,
          config.n_layer, config.n_embd, config.vocab_size);
  return version.complete(config);
}

std::unique_ptr<Model> create_model(const ModelConfig& config, Dtype dtype) {
  auto model = model_version(config.version).create(complete(config), dtype);
  // The width of a version's own Head-QK is its own affair; for the others it is an option.
  const int64_t width = model->config().number(option::head_qk);
  if (width > 0 && !model->head_qk_)
    model->add_head_qk(width, false, init::constant(0), init::orthogonal(0.1));
  return model;
}

const ModelOption* ModelVersion::find_option(std::string_view name) const {
  for (const ModelOption* option : options)
    if (name == option->name) return option;
  return nullptr;
}

bool ModelVersion::is_buffer(std::string_view tensor) const {
  if (tensor == "copy_mask") return true;  // of Head-QK
  return std::any_of(buffers.begin(), buffers.end(),
                     [&](const std::string& ending) { return tensor.ends_with(ending); });
}

const Shape* find_shape(const ShapeMap& shapes, std::string_view name) {
  for (const auto& [key, shape] : shapes)
    if (key == name) return &shape;
  return nullptr;
}

int64_t find_size(const ShapeMap& shapes, std::string_view name, int axis) {
  const Shape* shape = find_shape(shapes, name);
  return shape && shape->rank() > axis ? (*shape)[axis] : 0;
}

const Shape* find_in_blocks(const ShapeMap& shapes, std::string_view name) {
  for (const auto& [key, shape] : shapes)
    if (key.starts_with("blocks.") && key.ends_with(name) && key.find('.', 7) + name.size() + 1 == key.size())
      return &shape;
  return nullptr;
}

int64_t block_of(std::string_view name, std::string_view prefix) {
  int64_t index = -1;
  if (!name.starts_with(prefix)) return -1;
  const auto [end, error] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), index);
  return error == std::errc() && index >= 0 && index < INT64_MAX ? index : -1;
}

int64_t count_blocks(const ShapeMap& shapes, std::string_view prefix) {
  int64_t count = 0;
  for (const auto& [name, shape] : shapes) count = std::max(count, block_of(name, prefix) + 1);
  return count;
}

}  // namespace aviary
