#include "checkpoints/targets.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "formats/llama_names.h"
#include "models/cost.h"
#include "models/recognize.h"
#include "models/registry.h"

namespace aviary {
namespace {

std::string named(std::string_view name, const OptionValue& value) {
  return fmt::format("{} {}", name, describe(value));
}

// What of a config is not in another one, which was recognized from the tensors of the first. Not the recipe
// and other settings of training alone, and not the context where the tensors do not show it.
std::vector<std::string> missing_from(const ModelConfig& recognized, const ModelConfig& config) {
  std::vector<std::string> missing;
  if (config.variant != recognized.variant) missing.push_back(named("variant", config.variant));
  for (auto [name, member] : config_numbers())
    if (config.*member != recognized.*member && (member != &ModelConfig::ctx_len || recognized.ctx_len != 0))
      missing.push_back(named(name, config.*member));
  for (const ModelOption* option : model_version(config.version).options) {
    if (option->of_start) continue;
    if (config.number(*option) != recognized.number(*option))
      missing.push_back(named(option->name, config.number(*option)));
    if (config.text(*option) != recognized.text(*option))
      missing.push_back(named(option->name, config.text(*option)));
  }
  return missing;
}

std::vector<std::string> unsaid_by_tensors(const ModelConfig& config, const ShapeMap& shapes) {
  const std::optional<Recognition> found = recognize(shapes);
  if (!found || !found->runnable) return {named("version", config.version)};
  if (found->name != config.version)
    return {
        fmt::format("version {} (its tensors have the names and shapes of {})", config.version, found->name)};
  return missing_from(complete(found->config), complete(config));
}

// llama.cpp has RWKV-6 and RWKV-7 as they were published: no options, and as many channels in time mixing as
// in the residual stream.
std::vector<std::string> unsaid_by_llama(const ModelConfig& config) {
  std::vector<std::string> missing;
  if (!find_llama_architecture(config.version)) return missing;
  if (!config.variant.empty()) missing.push_back(named("variant", config.variant));
  if (config.dim_att != 0 && config.dim_att != config.n_embd)
    missing.push_back(named("dim_att", config.dim_att));
  for (const auto& [name, value] : config.options)
    if (const ModelOption* option = model_version(config.version).find_option(name);
        !option || !option->of_start)
      missing.push_back(named(name, value));
  return missing;
}

}  // namespace

Target target_of(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (ending == ".safetensors" || ending == ".st") return Target::safetensors;
  if (ending == ".pth" || ending == ".pt") return Target::pth;
  if (ending == ".gguf") return Target::gguf;
  fail("{}: the ending of the name says what is written; expected .safetensors, .pth or .gguf",
       path.string());
}

std::vector<std::string> unsaid(Target target, const ModelConfig& config, const ShapeMap& shapes) {
  switch (target) {
    case Target::pth:
      return unsaid_by_tensors(config, shapes);
    case Target::gguf:
      return unsaid_by_llama(config);
    default:
      return {};
  }
}

void require_said(const std::filesystem::path& path, const ModelConfig& config, const ShapeMap& shapes) {
  const Target target = target_of(path);
  const std::vector<std::string> missing = unsaid(target, config, shapes);
  if (missing.empty()) return;
  if (target == Target::gguf)
    fail(
        "{}: llama.cpp, which defines these files, has nothing for the {} of this model; write a "
        ".safetensors file (--force writes a .gguf file that only this program reads)",
        path.string(), fmt::join(missing, ", "));
  fail(
      "{}: such a file has no place for the {} of this model, so it would be opened as another model; write "
      "a .safetensors file (--force writes it all the same)",
      path.string(), fmt::join(missing, ", "));
}

bool is_of_llama(const ModelConfig& config) {
  return find_llama_architecture(config.version) && unsaid_by_llama(config).empty();
}

std::vector<std::string> limits(Target target, const ModelConfig& config) {
  std::vector<std::string> sentences;
  if (target == Target::gguf && !is_of_llama(config))
    sentences.push_back(
        "llama.cpp does not have this model, so the file is of the architecture aviary, which only this "
        "program reads");
  // The loop of llama.cpp over a head takes as many numbers at once as its CPU or GPU does, and no rest.
  constexpr int64_t head_of_llama = 64;
  if (target == Target::gguf && is_of_llama(config) && config.version == "rwkv7" &&
      config.head_size % head_of_llama != 0)
    sentences.push_back(fmt::format(
        "llama.cpp computes RWKV-7 correctly only with heads of {}, and this model has heads of {}: "
        "run the file with this program, or train with a width that is a multiple of {}",
        head_of_llama, config.head_size, head_of_llama));
  if (target != Target::pth || config.ctx_len == 0) return sentences;
  const std::unique_ptr<Model> model = create_model_without_numbers(config, Dtype::f32);
  if (token_cost(*model).state_growth > 0 && model->context_limit() == 0)
    sentences.push_back(
        fmt::format("a .pth file does not say that the model was trained on {} tokens at a time, so `aviary "
                    "evaluate` reads a text with it as a whole and not in windows of that length",
                    config.ctx_len));
  return sentences;
}

}  // namespace aviary
