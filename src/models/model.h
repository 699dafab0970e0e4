// A model of any version: a table of parameters and a forward pass over rows of sequences. Training, prompt
// reading, generation and batches all call the same forward.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "models/config.h"
#include "models/parameters.h"
#include "models/state.h"
#include "ops/ops.h"

namespace aviary {

// A layer norm's two weights.
struct Norm {
  Weight &weight, &bias;
};
inline Var layer_norm(Context& c, const Var& x, Norm& norm) {
  return layer_norm(c, x, norm.weight, norm.bias);
}

class Model {
 public:
  virtual ~Model() = default;

  const ModelConfig& config() const { return config_; }
  ParameterTable& parameters() { return parameters_; }
  const ParameterTable& parameters() const { return parameters_; }
  const std::vector<StateSpec>& state_specs() const { return state_specs_; }
  Dtype dtype() const { return parameters_.dtype(); }

  // tokens [N] of c.sequences -> the hidden rows [N, n_embd] in front of the output matrix. state: one Var
  // per spec, [S, ...]; becomes the state after the tokens.
  virtual Var hidden(Context& c, std::span<const int32_t> tokens, std::span<Var> state) = 0;
  // The output matrix [vocab_size, n_embd].
  virtual Weight& head() = 0;

 protected:
  Model(ModelConfig config, Dtype dtype) : config_(std::move(config)), parameters_(dtype) {}

  // `name`.weight and `name`.bias of n_embd channels, starting at `weight` and 0.
  Norm add_norm(const std::string& name, double weight = 1);

  // Registers a part of the state and returns its index.
  size_t add_state(StateSpec spec) {
    state_specs_.push_back(std::move(spec));
    return state_specs_.size() - 1;
  }

  ModelConfig config_;
  ParameterTable parameters_;
  std::vector<StateSpec> state_specs_;
};

// How a version is trained unless the user says otherwise.
struct TrainingRecipe {
  double learning_rate = 6e-4, final_learning_rate = 1e-5;
  double beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8;
  double weight_decay = 0;
  double clip = 1;  // largest norm of the gradient; 0: no clipping
};

// Names and shapes of a file's tensors.
using ShapeMap = std::vector<std::pair<std::string, Shape>>;
const Shape* find_shape(const ShapeMap& shapes, std::string_view name);
// Number of blocks: 1 + the largest i of "blocks.<i>."; 0 when there is none.
int64_t count_blocks(const ShapeMap& shapes);

// What a version's file provides.
struct ModelVersion {
  const char* name;   // "rwkv7"
  const char* title;  // "RWKV-7 Goose"
  int year;
  const char* recurrence;            // one line
  const char* source;                // paper or original
  std::vector<std::string> recipes;  // the default first

  // The config of a checkpoint that is of this version, by names and shapes alone.
  std::optional<ModelConfig> (*recognize)(const ShapeMap& shapes);
  // Fills in what the config leaves to the version's rules; throws Error for sizes that cannot be.
  ModelConfig (*complete)(ModelConfig config);
  std::unique_ptr<Model> (*create)(const ModelConfig& config, Dtype dtype);
  TrainingRecipe (*training)(const std::string& recipe);
};

// A file src/models/<name>.cpp enters the registry by defining AVIARY_MODEL(<name>) { ...fields of
// ModelVersion... };
#define AVIARY_MODEL(name)        \
  extern const ModelVersion name; \
  const ModelVersion name

const std::vector<const ModelVersion*>& model_versions();
// Throws Error with the known names.
const ModelVersion& model_version(const std::string& name);
// The config of the version that these tensors are of (models/recognize.h). Throws Error, beginning with
// `where`, when there is none, when it does not run here, and when tensors are missing.
ModelConfig recognize_version(const ShapeMap& shapes, const std::string& where);
// Creates a model with uninitialized (zero) parameters.
std::unique_ptr<Model> create_model(const ModelConfig& config, Dtype dtype = Dtype::f32);

}  // namespace aviary
