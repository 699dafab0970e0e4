#include "models/recognize.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "base/quotes.h"
#include "models/registry.h"

namespace aviary {
namespace {

// The names without "blocks.<i>.", each with its shape in the first block that contains it.
class Names {
 public:
  explicit Names(const ShapeMap& shapes) {
    for (const auto& [name, shape] : shapes) shapes_.emplace(without_block(name), shape);
  }
  const Shape* find(std::string_view name) const {
    auto found = shapes_.find(name);
    return found == shapes_.end() ? nullptr : &found->second;
  }
  bool has(std::string_view name) const { return find(name) != nullptr; }
  // The size of axis `axis` of the first of these tensors that exists; 0 if none does.
  int64_t size(std::initializer_list<std::string_view> names, int axis) const {
    for (std::string_view name : names)
      if (const Shape* shape = find(name); shape && shape->rank() > axis) return (*shape)[axis];
    return 0;
  }

 private:
  static std::string_view without_block(std::string_view name) {
    if (!name.starts_with("blocks.")) return name;
    const size_t end = name.find('.', 7);
    return end == name.npos ? name : name.substr(end + 1);
  }
  std::unordered_map<std::string_view, Shape> shapes_;
};

// The experiments with ROSA number their layers from 1.
int64_t count_layers(const ShapeMap& shapes) {
  return std::max(count_blocks(shapes), count_blocks(shapes, "rwkv") - 1);
}

// The name of a tensor of a layer ("blocks.1.att.w0", "rwkv2.w0", "ln2a.bias"), around the number of the
// layer.
struct LayerName {
  std::string_view kind;
  int64_t first;  // the number of the first layer
  std::string_view rest;

  std::string in(int64_t layer) const { return fmt::format("{}{}{}", kind, layer + first, rest); }
};

// Nothing for a name that is not of layer `layer`.
std::optional<LayerName> layer_name(std::string_view name, int64_t layer) {
  constexpr std::pair<std::string_view, int64_t> kinds[] = {
      {"blocks.", 0}, {"rwkv", 1}, {"rosa", 1}, {"ffn", 1}, {"ln", 1}};
  for (const auto& [kind, first] : kinds) {
    const std::string prefix = fmt::format("{}{}", kind, layer + first);
    if (!name.starts_with(prefix)) continue;
    const std::string_view rest = name.substr(prefix.size());
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') continue;
    return LayerName{kind, first, rest};
  }
  return {};
}

// The config of a small model with the same tensor names as a model of `config` with `layers` layers; it has
// layers only up to the first one after which all have the same names.
ModelConfig smallest(ModelConfig config, int64_t layers) {
  config.n_layer = 2;
  for (const ModelOption* option : model_version(config.version).options) {
    const int64_t value = config.number(*option);
    if (option->kind == OptionKind::width) config.set(*option, std::min<int64_t>(value, 1));
    if (option->kind != OptionKind::block || value == 0) continue;
    config.n_layer = std::max<int64_t>(2, std::min(layers, value + 2));
    config.set(*option, std::min(value, config.n_layer - 1));
  }
  config.n_embd = 64;
  config.vocab_size = 2;
  config.head_size = config.dim_att = config.dim_ffn = config.ctx_len = 0;
  config.rank_decay = config.rank_a = config.rank_v = config.rank_gate = config.rank_mix = 0;
  return config;
}

// by_token: the names of tensors [vocabulary, width].
ModelConfig sizes_of(const ShapeMap& shapes, const Names& names, std::span<const std::string> by_token) {
  ModelConfig config;
  config.n_layer = count_layers(shapes);
  for (const std::string& name : by_token) {
    if (!config.n_embd) config.n_embd = find_size(shapes, name, 1);
    if (!config.vocab_size) config.vocab_size = find_size(shapes, name, 0);
  }
  config.dim_ffn = names.size({"ffn.key.weight", "ffn.aa.weight", "mlp.key.weight"}, 0);
  config.head_size = names.size({"att.r_k", "att.time_faaaa"}, 1);
  const int64_t heads = names.has("att.ln_x.weight") ? names.size({"att.time_decay"}, 0) : 0;
  if (!config.head_size && heads > 0) config.head_size = config.n_embd / heads;
  config.ctx_len = names.size({"time_out"}, 1);
  return config;
}

constexpr size_t most_listed = 1000;

struct Needs {
  size_t needed = 0;
  std::vector<std::string> missing;   // the first most_listed ones if these are more than a quarter
  size_t unlike = 0;                  // existing tensors with another number of axes
  size_t strange = 0;                 // existing tensors that are not part of it
  std::vector<std::string> by_token;  // its embedding and its output matrix, [vocabulary, width]
  bool lacks_a_quarter = false;       // more than a quarter of the needed tensors is missing
};
// The missing tensors of a model of this config, of a registered version. A file can name so many layers that
// listing all their tensors would take minutes.
Needs needs_of(ModelConfig config, const ShapeMap& shapes) {
  std::unordered_map<std::string_view, int> there;  // number of axes
  for (const auto& [name, shape] : shapes) there.emplace(name, shape.rank());
  const int64_t layers = std::min(count_layers(shapes), static_cast<int64_t>(shapes.size()));
  config = smallest(std::move(config), layers);
  const auto model = create_model(config);
  const int64_t last = config.n_layer - 1;  // all later layers have the same names
  Needs needs;
  size_t placed = 0;
  auto look_for = [&](std::string name, const ParameterSpec& spec) {
    auto found = there.find(name);
    placed += found != there.end();
    if (spec.optional) return;
    if (found == there.end())
      needs.missing.push_back(std::move(name));
    else if (found->second != spec.shape.rank())
      ++needs.unlike;
  };
  auto copies_of = [&](const ParameterSpec& spec) {
    return layer_name(spec.name, last) ? std::max<int64_t>(layers - last, 0) : 1;
  };
  for (const Parameter& parameter : model->parameters())
    if (!parameter.spec.optional) needs.needed += static_cast<size_t>(copies_of(parameter.spec));
  // No more can be found than there are.
  needs.lacks_a_quarter = 3 * needs.needed > 4 * there.size();
  auto is_hopeless = [&] { return needs.missing.size() >= most_listed && needs.lacks_a_quarter; };
  for (const Parameter& parameter : model->parameters()) {
    const ParameterSpec& spec = parameter.spec;
    const std::optional<LayerName> name = layer_name(spec.name, last);
    if (!name) look_for(spec.name, spec);
    for (int64_t layer = last; name && layer < layers && !is_hopeless(); ++layer)
      look_for(name->in(layer), spec);
  }
  needs.lacks_a_quarter = needs.lacks_a_quarter || 4 * needs.missing.size() > needs.needed;
  needs.strange = there.size() - placed;
  for (const Parameter& parameter : model->parameters())
    if (parameter.spec.use == Use::table && needs.by_token.empty())
      needs.by_token.push_back(parameter.spec.name);
  needs.by_token.push_back(model->head().name());
  return needs;
}

// The registered version whose tensors differ least from the given ones, if most of them exist; of two with
// the same names, the one with the same numbers of axes.
std::optional<Recognition> nearest(const ShapeMap& shapes, const Names& names) {
  std::optional<Recognition> best;
  std::pair<size_t, size_t> least;
  for (const ModelVersion* version : model_versions()) {
    Needs needs = needs_of({.version = version->name}, shapes);
    const std::pair distance(needs.missing.size() + needs.strange, needs.unlike);
    if (needs.lacks_a_quarter || (best && distance >= least)) continue;
    least = distance;
    best = Recognition{.name = version->name,
                       .title = version->title,
                       .config = sizes_of(shapes, names, needs.by_token),
                       .missing = std::move(needs.missing)};
    best->config.version = version->name;
  }
  return best;
}

}  // namespace

std::optional<ModelConfig> recognize_as(const ModelVersion& version, const ShapeMap& shapes) {
  std::optional<ModelConfig> config = version.recognize(shapes);
  const Shape* head_q = find_shape(shapes, "head_q.weight");
  if (config && head_q && head_q->rank() == 2) config->set(option::head_qk, (*head_q)[0]);
  return config;
}

std::optional<Recognition> recognize(const ShapeMap& shapes) {
  const Names names(shapes);
  for (const ModelVersion* version : model_versions())
    if (auto config = recognize_as(*version, shapes)) {
      Recognition found{.name = version->name,
                        .title = version->title,
                        .config = *config,
                        .missing = needs_of(*config, shapes).missing};
      found.runnable = found.missing.empty();
      return found;
    }
  return nearest(shapes, names);
}

std::string describe(const Recognition& recognition) {
  const ModelConfig& config = recognition.config;
  if (config.n_layer == 0) return fmt::format("{}, of width {}", recognition.title, config.n_embd);
  return fmt::format("{}, {} layer{} of width {}", recognition.title, config.n_layer,
                     config.n_layer == 1 ? "" : "s", config.n_embd);
}

namespace {

// "behind the prefix 'student.' there is RWKV-7 ..., 2 layers of width 48", for tensors with a prefix before
// the names of a known model; empty otherwise.
std::string hint_of_prefix(const ShapeMap& shapes) {
  constexpr size_t most = 8;  // prefixes to try
  std::set<std::string> tried;
  for (const auto& [name, shape] : shapes)
    for (const std::string_view first :
         {"emb.weight", "blocks.0.ln1.weight", "head.weight", "tok_emb.weight"}) {
      if (!name.ends_with(first)) continue;
      const std::string prefix = name.substr(0, name.size() - first.size());
      if (!prefix.ends_with('.') || tried.size() >= most || !tried.insert(prefix).second) continue;
      ShapeMap without;
      for (const auto& [other, size] : shapes)
        if (other.starts_with(prefix)) without.emplace_back(other.substr(prefix.size()), size);
      if (const std::optional<Recognition> found = recognize(without))
        return fmt::format("behind the prefix {} there is {}", in_quotes(prefix), describe(*found));
    }
  return "";
}

}  // namespace

ModelConfig recognize_version(const ShapeMap& shapes, const std::string& where) {
  const std::optional<Recognition> found = recognize(shapes);
  if (!found) {
    require(!shapes.empty(), "{}: the file is not a model: it has no tensors", where);
    if (const std::string hint = hint_of_prefix(shapes); !hint.empty())
      fail("{}: {}; save the state_dict of that part alone", where, hint);
    std::string known, seen;
    for (const ModelVersion* version : model_versions())
      known += (known.empty() ? "" : ", ") + std::string(version->name);
    for (size_t i = 0; i < std::min<size_t>(shapes.size(), 6); ++i)
      seen += (i ? ", " : "") + in_quotes(shapes[i].first);
    fail("{}: not a model of a version known here ({}); its {} tensors begin with: {}", where, known,
         shapes.size(), seen);
  }
  if (found->missing.size() == 1)
    fail("{}: this is an {} with the tensor {} missing", where, found->title, found->missing[0]);
  if (!found->missing.empty())
    fail("{}: this is an {} with {}{} tensors missing, among them {}", where, found->title,
         found->missing.size() >= most_listed ? "at least " : "", found->missing.size(), found->missing[0]);
  require(found->runnable,
          "{}: this is {}; this program does not run it yet, it can be inspected and converted", where,
          describe(*found));
  return found->config;
}

}  // namespace aviary
