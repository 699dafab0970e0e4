// The versions: the definition that each file provides, and the list of all.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/model.h"
#include "models/shape_map.h"

namespace aviary {

// The settings of the original trainer of a version, from which the planner (train/plan.h) starts.
struct TrainingRecipe {
  double learning_rate = 6e-4;  // at the beginning; the planner raises it for narrow models
  double beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8;
  double weight_decay = 0;  // of the original; the planner uses only whether it is 0
  double clip = 1;          // largest norm of the gradient; 0: no clipping
  bool l2wrap = true;       // the penalty on the largest logit of each row
};

// The tokens on which the row of a token may depend. The laws use this: only for causal models does splitting
// a text give the same result.
enum class Reads : uint8_t {
  causal,       // on the tokens up to its own
  both_ways,    // on all tokens of the text
  two_streams,  // on all tokens of one text, and on those of another up to its own
};

// The definition of a version, provided by its file.
struct ModelVersion {
  const char* name;   // "rwkv7"
  const char* title;  // "RWKV-7 Goose"
  int year;
  const char* recurrence;                  // one line
  const char* source;                      // paper or original
  const char* news = "";                   // what is new in it, one line
  std::vector<std::string> recipes;        // the default first
  std::vector<std::string> variants = {};  // other variants
  // Names with these endings are constants in the checkpoints of the original trainer, recomputed from the
  // sizes.
  std::vector<std::string> buffers = {};
  std::vector<const ModelOption*> options = {};
  // A version with the same tensors, as which a file without further information is recognized.
  const char* twin = nullptr;
  Reads reads = Reads::causal;
  // Why tests/golden has no golden data for this version.
  const char* no_golden = "";

  // The config of a checkpoint of this version, recognized from names and shapes.
  std::optional<ModelConfig> (*recognize)(const ShapeMap& shapes);
  // Fills in the sizes that the config leaves to the rules of the version; throws Error for invalid sizes.
  ModelConfig (*complete)(ModelConfig config);
  std::unique_ptr<Model> (*create)(const ModelConfig& config, Dtype dtype);
  TrainingRecipe (*training)(const std::string& recipe);

  // Null if it has no option of this name.
  const ModelOption* find_option(std::string_view name) const;
  bool is_buffer(std::string_view tensor) const;
};

// ModelVersion::create for versions implemented by a class.
template <typename Version>
std::unique_ptr<Model> create_as(const ModelConfig& config, Dtype dtype) {
  return std::make_unique<Version>(config, dtype);
}

// A file src/models/<name>.cpp is added to the registry by defining AVIARY_MODEL(<name>) { ...fields of
// ModelVersion... };
#define AVIARY_MODEL(name)        \
  extern const ModelVersion name; \
  const ModelVersion name

const std::vector<const ModelVersion*>& model_versions();
// The options of all versions, without duplicates.
const std::vector<const ModelOption*>& model_options();
// Throws Error that lists the known names.
const ModelVersion& model_version(const std::string& name);
// The config completed by the rules of the version. Throws Error for invalid sizes and options.
ModelConfig complete(const ModelConfig& config);
// A model of this config, which is completed first; all parameters are 0.
std::unique_ptr<Model> create_model(const ModelConfig& config, Dtype dtype);
// The same with parameters that have no numbers yet, to be loaded from a file.
std::unique_ptr<Model> create_model_without_numbers(const ModelConfig& config, Dtype dtype);
inline std::unique_ptr<Model> create_model(const ModelConfig& config) {
  return create_model(config, Dtype::f32);
}

}  // namespace aviary
