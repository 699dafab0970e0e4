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

const ModelVersion& model_version(const std::string& name) {
  std::string known;
  for (const ModelVersion* version : model_versions()) {
    if (name == version->name) return *version;
    known += (known.empty() ? "" : ", ") + std::string(version->name);
  }
  fail("unknown model version \"{}\"; known are {}", name, known);
}

Norm Model::add_norm(const std::string& name, double weight) {
  Weight& scale = parameters_.add({name + ".weight", {config_.n_embd}, init::constant(weight)});
  return {scale, parameters_.add({name + ".bias", {config_.n_embd}, init::constant(0)})};
}

std::unique_ptr<Model> create_model(const ModelConfig& config, Dtype dtype) {
  const ModelVersion& version = model_version(config.version);
  require(
      std::count(version.recipes.begin(), version.recipes.end(), config.recipe) > 0 || config.recipe.empty(),
      "{} has no recipe \"{}\"; it has {}", config.version, config.recipe, fmt::join(version.recipes, ", "));
  require(config.n_layer > 0 && config.n_embd > 0 && config.vocab_size > 0,
          "{}: {} layers, width {} and a vocabulary of {}: each must be at least 1", config.version,
          config.n_layer, config.n_embd, config.vocab_size);
  return version.create(version.complete(config), dtype);
}

const Shape* find_shape(const ShapeMap& shapes, std::string_view name) {
  for (const auto& [key, shape] : shapes)
    if (key == name) return &shape;
  return nullptr;
}

int64_t count_blocks(const ShapeMap& shapes) {
  constexpr std::string_view prefix = "blocks.";
  int64_t count = 0;
  for (const auto& [key, shape] : shapes) {
    int64_t index = 0;
    if (key.starts_with(prefix) &&
        std::from_chars(key.data() + prefix.size(), key.data() + key.size(), index).ec == std::errc() &&
        index < INT64_MAX)
      count = std::max(count, index + 1);
  }
  return count;
}

}  // namespace aviary
