// A model of any version: a table of parameters and a forward pass over rows of sequences. Training, prompt
// reading, generation and batches all call the same forward.
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

// What goes through the blocks of a model in one step.
struct Stream {
  static constexpr size_t most_kept = 4;

  std::span<const int32_t> tokens;    // [N] of the step
  std::span<Var> state;               // by StateSpec; a block replaces those that are its own
  Var x{};                            // [N, C]: what every block changes
  std::array<Var, most_kept> kept{};  // [N, C]: what blocks look at besides (Model::add_kept)

  // Where x and kept are while blocks use the memory between them again (Model::run).
  struct Places {
    Tensor x{};
    std::array<Tensor, most_kept> kept{};
  } places{};
};

// What the logits are made of: x head^T, and Head-QK's copies where the model has it.
struct Output {
  Var x;
  Copies copies;
};

// A matrix [V, C]: its name without ".weight", how it starts, and whether weight decay applies.
struct TokenMatrix {
  const char* name;
  Initializer start;
  bool decay = false;
};
// How Head-QK's matrices start, and whether they have biases.
struct HeadQkStart {
  Initializer q = init::constant(0), k = init::orthogonal(0.1);
  bool biased = false;
};
// What stands around the blocks. An empty name means that the version has none.
struct ModelFrame {
  TokenMatrix embedding;
  std::string first_norm = "blocks.0.ln0", last_norm = "ln_out";
  TokenMatrix head;
  bool head_bias = false;
  HeadQkStart head_qk{};
};

// A model is an embedding, blocks, and what stands between the last block and the output matrix. A version
// says what these are; the base runs them.
class Model {
 public:
  virtual ~Model() = default;

  const ModelConfig& config() const { return config_; }
  ParameterTable& parameters() { return parameters_; }
  const ParameterTable& parameters() const { return parameters_; }
  const std::vector<StateSpec>& state_specs() const { return state_specs_; }
  Dtype dtype() const { return parameters_.dtype(); }

  // A whole step: tokens [N] of c.sequences -> what the logits are made of. state: one Var per spec, [S,
  // ...]; becomes the state after the tokens.
  Output forward(Context& c, std::span<const int32_t> tokens, std::span<Var> state);

  // The same in three parts. start() goes up to the first block.
  Stream start(Context& c, std::span<const int32_t> tokens, std::span<Var> state);
  // Blocks first, ..., last - 1; then s.x has the rows after the last of them. With c.reuse, the memory of
  // a block is used again when it ends: of what it made, only the stream and the states outlive it, and the
  // next run overwrites s.x.
  void run(Context& c, Stream& s, int64_t first, int64_t last);
  // From the last block on.
  Output finish(Context& c, const Stream& s);

  // The output matrix [vocab_size, n_embd].
  Weight& head() { return *head_; }
  // [vocab_size], added to the logits; null where the version has none.
  Weight* head_bias() { return head_bias_; }
  // The most tokens that the model can look at, 0 for as many as there are. Beyond it, the last so many are
  // read again for every token (Runner).
  int64_t context_limit() const { return context_limit_; }
  // Whether sequences that have read nothing start from a state that the model has learned.
  bool learns_first_state() const { return learns_first_state_; }
  // The part of the state that holds the last context_limit() tokens, for the Runner.
  size_t window() const { return window_; }

 protected:
  Model(ModelConfig config, Dtype dtype);

  // The model's input: s.tokens -> s.x, and s.kept where the version has such. By default the rows of the
  // embedding, through the first norm where there is one.
  virtual void embed(Context& c, Stream& s);
  // Block `layer`: s.x and its own parts of s.state become those after the block.
  virtual void block(Context& c, size_t layer, Stream& s) = 0;
  // What is done to the rows between the last norm, whose output Head-QK looks at, and the output matrix.
  virtual Var before_head(Context&, const Var& x) { return x; }

  // ---- For constructors of versions, in the order of the table of parameters.

  // The token shift of the version where the option token_shift does not say another. To be called before any
  // state is registered.
  void set_token_shift(const std::string& by_default);

  // Registers embedding, first norm, blocks, by add_block(layer), last norm, output matrix, and Head-QK where
  // the config has it.
  void build(const ModelFrame& frame, const std::function<void(int64_t layer)>& add_block);

  // A value [N, C] that blocks pass on or embed() leaves for them, besides x: its index in Stream::kept.
  size_t add_kept();

  // `name`.weight and `name`.bias of `width` channels (0: n_embd), starting at `weight` and 0.
  Norm add_norm(const std::string& name, double weight = 1, int64_t width = 0);

  // Registers a part of the state and returns its index.
  size_t add_state(StateSpec spec);
  // The state of a token shift.
  size_t add_shift_state(const std::string& name);
  // For versions that cannot look at more tokens than so many.
  void limit_context(int64_t tokens);

  // How the rows of a token shift of this model are mixed.
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
    bool largest;      // of a repeated token counts the largest weight alone
  };

  void add_head_qk(const HeadQkStart& start);
  Copies copies(Context& c, HeadQk& p, const Var& x, const Stream& s);

  std::vector<StateSpec> state_specs_;
  Weight *head_ = nullptr, *head_bias_ = nullptr;
  std::optional<Norm> last_norm_;
  std::optional<HeadQk> head_qk_;
  size_t kept_ = 0;             // how many of Stream::kept there are
  std::vector<int32_t> shift_;  // of the channels; empty: 1
  int64_t context_limit_ = 0;
  size_t window_ = 0;

  friend class BlockTable;
};

}  // namespace aviary
