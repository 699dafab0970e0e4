// The list of versions, made by the build from the files that define one.
#include <algorithm>

#include "base/error.h"
#include "models/registry.h"

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
  std::unique_ptr<Model> model = create_model_without_numbers(config, dtype);
  model->parameters().allocate();
  return model;
}

std::unique_ptr<Model> create_model_without_numbers(const ModelConfig& config, Dtype dtype) {
  return model_version(config.version).create(complete(config), dtype);
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

}  // namespace aviary
