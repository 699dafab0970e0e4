// A model of any version: a parameter table and a forward pass over rows of sequences. Training, reading
// prompts, generation and batches all call the same forward.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/config.h"
#include "models/parameters.h"
#include "models/state.h"
#include "ops/ops.h"

namespace aviary {

// Options implemented by the base of all models; a version that supports them lists them.
namespace option {
inline constexpr ModelOption head_qk{
    .name = "head_qk",
    .help = "Width of Head-QK, which raises the logits of tokens already read",
    .kind = OptionKind::width,
    .sample = 8};
inline constexpr ModelOption head_qk_max{
    .name = "head_qk_max",
    .help = "Head-QK uses a repeated token once, with its largest weight",
    .needs = &head_qk,
    .in_tensors = false};
inline constexpr ModelOption token_shift{
    .name = "token_shift",
    .help = "Number of tokens that token shifts look back, for equal parts of the channels: 2, or 4,2,1",
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

// The values that pass through the blocks of a model in one step.
struct Stream {
  static constexpr size_t most_kept = 4;

  std::span<const int32_t> tokens;    // [N] of the step
  std::span<Var> state;               // one per StateSpec; a block replaces its own
  Var x{};                            // [N, C]: the residual stream, changed by every block
  std::array<Var, most_kept> kept{};  // [N, C]: other values that blocks use (Model::add_kept)

  // Memory for x and kept while blocks reuse the arena (Model::run).
  struct Places {
    Tensor x{};
    std::array<Tensor, most_kept> kept{};
  } places{};
};

// The inputs of the logits: x for x head^T, and the copies of Head-QK if the model has it.
struct Output {
  Var x;
  Copies copies;
};

// A matrix [V, C]: its name without ".weight", its initialization, and whether it has weight decay.
struct TokenMatrix {
  const char* name;
  Initializer start;
  bool decay = false;
};
// The initialization of Head-QK's matrices, and whether they have biases.
struct HeadQkStart {
  Initializer q = init::constant(0), k = init::orthogonal(0.1);
  bool biased = false;
};
// The layers before and after the blocks. An empty name means that the version does not have that layer.
struct ModelFrame {
  TokenMatrix embedding;
  std::string first_norm = "blocks.0.ln0", last_norm = "ln_out";
  TokenMatrix head;
  bool head_bias = false;
  HeadQkStart head_qk{};
};

// A model consists of an embedding, blocks, and the layers between the last block and the output matrix. A
// version defines these; the base class runs them.
class Model {
 public:
  virtual ~Model() = default;

  const ModelConfig& config() const { return config_; }
  ParameterTable& parameters() { return parameters_; }
  const ParameterTable& parameters() const { return parameters_; }
  const std::vector<StateSpec>& state_specs() const { return state_specs_; }
  Dtype dtype() const { return parameters_.dtype(); }

  // A whole step: tokens [N] of c.sequences -> the inputs of the logits. state: one Var per spec, [S, ...];
  // becomes the state after the tokens.
  Output forward(Context& c, std::span<const int32_t> tokens, std::span<Var> state);

  // The same in three parts. start() computes everything before the first block.
  Stream start(Context& c, std::span<const int32_t> tokens, std::span<Var> state);
  // Blocks first, ..., last - 1; then s.x has the rows after the last of them. With c.reuse, the memory of
  // a block is used again when it ends: of what it made, only the stream and the states outlive it, and the
  // next run overwrites s.x.
  void run(Context& c, Stream& s, int64_t first, int64_t last);
  // Everything after the last block.
  Output finish(Context& c, const Stream& s);

  // The first block that must be recorded for the backward pass, since no earlier one leads to a trained
  // parameter: -1 if a parameter before the blocks is trained, n_layer if only parameters after them are, or
  // none.
  int64_t first_recorded_block() const;

  // The output matrix [vocab_size, n_embd].
  Weight& head() { return *head_; }
  // [vocab_size], added to the logits; null if the version has none.
  Weight* head_bias() { return head_bias_; }
  // The largest number of tokens that the model can look at; 0: no limit. Beyond it, the last context_limit()
  // tokens are read again for every new token (Runner).
  int64_t context_limit() const { return context_limit_; }
  // Whether sequences start from a learned state.
  bool learns_first_state() const { return learns_first_state_; }
  // The part of the state with the last context_limit() tokens, for the Runner.
  size_t window() const { return window_; }

 protected:
  Model(ModelConfig config, Dtype dtype);

  // The input of the model: s.tokens -> s.x, and s.kept if the version uses it. By default the rows of the
  // embedding, followed by the first norm if there is one.
  virtual void embed(Context& c, Stream& s);
  // Block `layer`: s.x and its own parts of s.state become those after the block.
  virtual void block(Context& c, size_t layer, Stream& s) = 0;
  // Applied to the rows between the last norm, whose output Head-QK uses, and the output matrix.
  virtual Var before_head(Context&, const Var& x) { return x; }

  // ---- For constructors of versions, in the order of the parameter table.

  // The token shift of the version unless the option token_shift overrides it. To be called before any state
  // is registered.
  void set_token_shift(const std::string& by_default);

  // Registers embedding, first norm, blocks, by add_block(layer), last norm, output matrix, and Head-QK if
  // the config has it.
  void build(const ModelFrame& frame, const std::function<void(int64_t layer)>& add_block);

  // Declares a value [N, C], in addition to x, that embed() or a block provides for later blocks; returns its
  // index in Stream::kept.
  size_t add_kept();

  // `name`.weight and `name`.bias of `width` channels (0: n_embd), initialized to `weight` and 0.
  Norm add_norm(const std::string& name, double weight = 1, int64_t width = 0);

  // Registers a part of the state and returns its index.
  size_t add_state(StateSpec spec);
  // The state of a token shift.
  size_t add_shift_state(const std::string& name);
  // For versions that cannot look at more than this many tokens.
  void limit_context(int64_t tokens);

  // The distances of the token shifts of this model.
  TokenShift shift(MixOf of) const { return {of, shift_}; }

  ModelConfig config_;
  ParameterTable parameters_;
  bool learns_first_state_ = false;
  Weight* embedding_ = nullptr;
  std::optional<Norm> first_norm_;

 private:
  struct HeadQk {
    Weight &q, &k;
    Weight *q_bias, *k_bias;
    size_t keys, ids;  // of the state
    bool largest;      // for a repeated token, use only the largest weight
  };

  void add_head_qk(const HeadQkStart& start);
  Copies copies(Context& c, HeadQk& p, const Var& x, const Stream& s);

  std::vector<StateSpec> state_specs_;
  Weight *head_ = nullptr, *head_bias_ = nullptr;
  std::optional<Norm> last_norm_;
  std::optional<HeadQk> head_qk_;
  std::vector<int64_t>
      block_begins_;            // where each block's parameters begin in the table; the last: where they end
  size_t kept_ = 0;             // size of Stream::kept
  std::vector<int32_t> shift_;  // of the channels; empty: 1
  int64_t context_limit_ = 0;
  size_t window_ = 0;

  friend class BlockTable;
};

}  // namespace aviary
