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

// Options that the base of all models knows how to obey; a version that has them names them.
namespace option {
inline constexpr ModelOption head_qk{
    .name = "head_qk",
    .help = "Width of Head-QK, by which the output copies tokens that it attends to",
    .kind = OptionKind::width,
    .sample = 8};
inline constexpr ModelOption head_qk_max{
    .name = "head_qk_max",
    .help = "Head-QK counts a repeated token once, at its largest weight",
    .needs = &head_qk,
    .in_tensors = false};
inline constexpr ModelOption token_shift{
    .name = "token_shift",
    .help = "Tokens that token shifts look back, by equal parts of the channels: 2, or 4,2,1",
    .kind = OptionKind::text,
    .sample_text = "3,0,1",
    .in_tensors = false};
}  // namespace option

// A layer norm's two weights.
struct Norm {
  Weight &weight, &bias;
};
inline Var layer_norm(Context& c, const Var& x, Norm& norm) {
  return layer_norm(c, x, norm.weight, norm.bias);
}

// What the logits are made of: x head^T, and Head-QK's copies where the model has it.
struct Output {
  Var x;
  Copies copies;
};

class Model {
 public:
  virtual ~Model() = default;

  const ModelConfig& config() const { return config_; }
  ParameterTable& parameters() { return parameters_; }
  const ParameterTable& parameters() const { return parameters_; }
  const std::vector<StateSpec>& state_specs() const { return state_specs_; }
  Dtype dtype() const { return parameters_.dtype(); }

  // tokens [N] of c.sequences -> what the logits are made of. state: one Var per spec, [S, ...]; becomes the
  // state after the tokens.
  Output forward(Context& c, std::span<const int32_t> tokens, std::span<Var> state);
  // The output matrix [vocab_size, n_embd].
  virtual Weight& head() = 0;
  // [vocab_size], added to the logits; null where the version has none.
  virtual Weight* head_bias() { return nullptr; }
  // The most tokens that the model can look at, 0 for as many as there are. Beyond it, the last so many are
  // read again for every token (Runner).
  int64_t context_limit() const { return context_limit_; }
  // Whether sequences that have read nothing start from a state that the model has learned.
  bool learns_first_state() const { return learns_first_state_; }
  // The part of the state that holds the last context_limit() tokens, for the Runner.
  size_t window() const { return window_; }

 protected:
  Model(ModelConfig config, Dtype dtype) : config_(std::move(config)), parameters_(dtype) {
    set_token_shift("1");
  }

  // The hidden rows [N, n_embd] in front of the output matrix.
  virtual Var hidden(Context& c, std::span<const int32_t> tokens, std::span<Var> state) = 0;
  // What is done to the hidden rows between Head-QK, which sees them before, and the output matrix.
  virtual Var before_head(Context&, const Var& x) { return x; }

  // The token shift of the version where the option token_shift does not say another. To be called before any
  // state is registered.
  void set_token_shift(const std::string& by_default);
  // The state of a token shift.
  size_t add_shift_state(const std::string& name);

  // SmallInitEmb: the embedding starts within 1e-4 of 0; the returned norm "ln0" is to follow it, in versions
  // that have none there.
  Norm add_small_embedding(const std::string& embedding);

  // For versions that cannot look at more tokens than so many.
  void limit_context(int64_t tokens) {
    context_limit_ = tokens;
    window_ = add_state({"window", StateKind::window, {tokens}});
  }

  // Head-QK of this width: parameters head_q, head_k, their biases where `biased`, and the history that they
  // look at. Weights start at init_q and init_k.
  void add_head_qk(int64_t width, bool biased, Initializer init_q, Initializer init_k);

  // `name`.weight and `name`.bias of `width` channels (0: n_embd), starting at `weight` and 0.
  Norm add_norm(const std::string& name, double weight = 1, int64_t width = 0);

  // Registers a part of the state and returns its index.
  size_t add_state(StateSpec spec) {
    state_specs_.push_back(std::move(spec));
    return state_specs_.size() - 1;
  }

  ModelConfig config_;
  ParameterTable parameters_;
  std::vector<StateSpec> state_specs_;
  bool learns_first_state_ = false;

 private:
  struct HeadQk {
    Weight &q, &k;
    Weight *q_bias, *k_bias;
    size_t keys, ids;  // of the state
  };
  std::optional<HeadQk> head_qk_;
  std::vector<int32_t> shift_;  // of the channels; empty: 1
  int64_t context_limit_ = 0;
  size_t window_ = 0;

  friend class BlockTable;
  friend std::unique_ptr<Model> create_model(const ModelConfig& config, Dtype dtype);
};

// How the original trainer of a version trains it. The planner (train/plan.h) starts from it.
struct TrainingRecipe {
  double learning_rate = 6e-4;  // at the start; the planner raises it for narrow models
  double beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8;
  double weight_decay = 0;  // of the original; for the planner only whether there is any
  double clip = 1;          // largest norm of the gradient; 0: no clipping
  bool l2wrap = true;       // the term that pulls the largest logit of each row to 0
};

// Names and shapes of a file's tensors.
using ShapeMap = std::vector<std::pair<std::string, Shape>>;
const Shape* find_shape(const ShapeMap& shapes, std::string_view name);
// Axis `axis` of a tensor; 0 when there is none.
int64_t find_size(const ShapeMap& shapes, std::string_view name, int axis);
// The i of "blocks.<i>.", or of a number behind another prefix; -1 for other names.
int64_t block_of(std::string_view name, std::string_view prefix = "blocks.");
// 1 + the largest i of these; 0 when there is none.
int64_t count_blocks(const ShapeMap& shapes, std::string_view prefix = "blocks.");
// The shape of "blocks.<i>.<name>" in the first block that has it.
const Shape* find_in_blocks(const ShapeMap& shapes, std::string_view name);

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
// The config of the version that these tensors are of (models/recognize.h). Throws Error, beginning with
// `where`, when there is none, when it does not run here, and when tensors are missing.
ModelConfig recognize_version(const ShapeMap& shapes, const std::string& where);
// Creates a model with uninitialized (zero) parameters.
// The config with what the version's rules fill in. Throws Error for sizes and options that cannot be.
ModelConfig complete(const ModelConfig& config);
std::unique_ptr<Model> create_model(const ModelConfig& config, Dtype dtype);
inline std::unique_ptr<Model> create_model(const ModelConfig& config) {
  return create_model(config, Dtype::f32);
}

}  // namespace aviary
