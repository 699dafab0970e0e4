// The versions of the family: what the file of each says about it, and the list of all.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/model.h"
#include "models/shape_map.h"

namespace aviary {

// How the original trainer of a version trains it. The planner (train/plan.h) starts from it.
struct TrainingRecipe {
  double learning_rate = 6e-4;  // at the start; the planner raises it for narrow models
  double beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8;
  double weight_decay = 0;  // of the original; for the planner only whether there is any
  double clip = 1;          // largest norm of the gradient; 0: no clipping
  bool l2wrap = true;       // the term that pulls the largest logit of each row to 0
};

// What the row of a token can depend on. The laws ask it: a text that is cut in two gives the same only to
// models that are causal.
enum class Reads : uint8_t {
  causal,       // on the tokens up to its own
  both_ways,    // on all tokens of the text
  two_streams,  // on all tokens of one text, and those of another up to its own
};

// What a version's file provides.
struct ModelVersion {
  const char* name;   // "rwkv7"
  const char* title;  // "RWKV-7 Goose"
  int year;
  const char* recurrence;                  // one line
  const char* source;                      // paper or original
  const char* news = "";                   // what it brought, one line
  std::vector<std::string> recipes;        // the default first
  std::vector<std::string> variants = {};  // other spellings
  // Names that end so are constants in the checkpoints of the original trainer, made anew from the sizes.
  std::vector<std::string> buffers = {};
  std::vector<const ModelOption*> options = {};
  // A version with the same tensors, which a file that does not say more is taken for.
  const char* twin = nullptr;
  Reads reads = Reads::causal;
  // Why tests/golden has no outputs of the original code.
  const char* no_golden = "";

  // The config of a checkpoint that is of this version, by names and shapes alone.
  std::optional<ModelConfig> (*recognize)(const ShapeMap& shapes);
  // Fills in what the config leaves to the version's rules; throws Error for sizes that cannot be.
  ModelConfig (*complete)(ModelConfig config);
  std::unique_ptr<Model> (*create)(const ModelConfig& config, Dtype dtype);
  TrainingRecipe (*training)(const std::string& recipe);

  // Null when it has none of this name.
  const ModelOption* find_option(std::string_view name) const;
  bool is_buffer(std::string_view tensor) const;
};

// ModelVersion::create of versions that are a class.
template <typename Version>
std::unique_ptr<Model> create_as(const ModelConfig& config, Dtype dtype) {
  return std::make_unique<Version>(config, dtype);
}

// A file src/models/<name>.cpp enters the registry by defining AVIARY_MODEL(<name>) { ...fields of
// ModelVersion... };
#define AVIARY_MODEL(name)        \
  extern const ModelVersion name; \
  const ModelVersion name

const std::vector<const ModelVersion*>& model_versions();
// The options of all versions, each name once.
const std::vector<const ModelOption*>& model_options();
// Throws Error with the known names.
const ModelVersion& model_version(const std::string& name);
// The config with what the version's rules fill in. Throws Error for sizes and options that cannot be.
ModelConfig complete(const ModelConfig& config);
// A model of this config, completed, whose parameters are all 0.
std::unique_ptr<Model> create_model(const ModelConfig& config, Dtype dtype);
// The same, whose parameters have no numbers yet: for those that a file brings.
std::unique_ptr<Model> create_model_without_numbers(const ModelConfig& config, Dtype dtype);
inline std::unique_ptr<Model> create_model(const ModelConfig& config) {
  return create_model(config, Dtype::f32);
}

}  // namespace aviary
