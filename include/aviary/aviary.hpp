// Running RWKV language models: tokens and a state in, logits and the next state out.
//
//   aviary::Model model = aviary::Model::load("model.safetensors");
//   aviary::State state = model.new_state();
//   std::vector<float> logits = model.forward(model.encode("Once upon a"), state);
//
// Link libaviary: find_package(aviary) and aviary::aviary, or `pkg-config --cflags --libs aviary`. Every
// function may throw std::bad_alloc, and aviary::Error (error.h) where it says so.
#pragma once

#include <aviary/error.h>
#include <aviary/export.h>
#include <aviary/threads.h>
#include <aviary/version.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace aviary {

// The version of this interface; it also separates these names from those inside the library.
inline namespace v0 {

// The type to which the factors of matrix products are rounded. Sums, states and everything else are always
// float32.
enum class Precision : uint8_t {
  automatic,  // bf16 if the CPU has bf16 products and most weights of the file have at most 16 bits,
              // otherwise f32
  f32,
  bf16,     // works on every CPU, and is faster if the CPU has bf16 dot products
  fastest,  // bf16 if that is faster, otherwise f32
};

struct LoadOptions {
  Precision precision = Precision::automatic;  // of products with float32 weights
  // For models without a tokenizer: "bytes", or the path of a World vocabulary, a tokenizer.json (byte-level
  // BPE), a vocab.json of characters, or another model that has one. Empty: the tokenizer in the model file
  // or in its folder; without one, bytes if the vocabulary has 256 tokens, otherwise none. One that is known
  // not to be the model's is an error, unless `any_tokenizer`.
  std::string tokenizer = {};
  bool any_tokenizer = false;
  // Added to the model: files or folders of adapters (LoRA, MiSS) of trainers and of Aviary, as FILE or
  // FILE,weight=W,alpha=A (docs/formats.md). One that says that it was trained on another model is an error,
  // and so is such a tuned state, unless `any_base`.
  std::vector<std::string> adapters = {};
  bool any_base = false;
  // Maps the packed weights for this CPU from FILE.packed, next to the model file. It is written the first
  // time, and again if it belongs to another model, CPU or precision. If it cannot be written, the model is
  // loaded nevertheless.
  bool cache = false;
};

struct ModelInfo {
  std::string version;  // "rwkv7"
  int64_t layers = 0;
  int64_t width = 0;         // n_embd
  int64_t vocab_size = 0;    // V: the logits of one token
  int64_t context = 0;       // sequence length in training; 0: unknown. Not a limit
  int32_t begin_token = -1;  // to be read before a text: the end of text in the World models; -1: none
  int64_t parameters = 0;    // total number
  Precision precision = {};  // f32 or bf16
};

// The defaults are those of the RWKV pip package, but without penalties.
struct SamplingOptions {
  double temperature = 1;        // 0: always the most probable token
  int64_t top_k = 0;             // only the k most probable tokens; 0: all
  double top_p = 0.85;           // only the most probable tokens whose total probability reaches p, in (0, 1]
  double top_a = 0;              // only tokens with p >= top_a * (largest p)^2; 0: all
  double top_p_x = 0;            // in addition to top_p, every token with at least this probability; 0: none
  double presence_penalty = 0;   // subtracted from the logit of a token that was generated before
  double frequency_penalty = 0;  // the same for each time it was generated
  double penalty_decay = 0.996;  // factor by which the counts of the frequency penalty decay with each token
  uint64_t seed = 0;             // same seed, same text
};

struct GenerateOptions {
  int64_t tokens = 200;  // at most
  SamplingOptions sampling = {};
  std::vector<std::string> stop = {};  // generation stops before the first of these; none may be empty
  bool begin_token = true;             // read ModelInfo::begin_token, if there is one, before the prompt
};

struct Generation {
  enum class End : uint8_t { length, stop, end_of_text, interrupted };

  std::string text;  // all generated text, without the prompt
  int64_t prompt_tokens = 0, tokens = 0;
  double prompt_seconds = 0, seconds = 0;  // for reading the prompt, for generating
  End end = End::length;
};

// What a model remembers of the tokens it has read: an independent value that can be copied and stored and
// may outlive the model. Different threads may use different states; one state must not be used by two
// threads at once.
class AVIARY_API State {
 public:
  // An empty state of no model; Model::new_state() makes others.
  State();
  State(const State& other);
  State& operator=(const State& other);
  State(State&&) noexcept;
  State& operator=(State&&) noexcept;
  ~State();

  bool empty() const;
  // The largest absolute difference between corresponding numbers; NaN if either state contains one. Throws
  // Error unless both are states of models of the same version and sizes.
  double max_difference(const State& other) const;
  // For storing it in a file; Model::state_from_bytes() reads it. Throws Error if empty.
  std::vector<std::byte> to_bytes() const;

 private:
  friend class Model;
  struct Implementation;
  explicit State(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

// An immutable model and the memory to run it. Threads may share one; their calls do not wait for each other.
// A moved-from Model can only be assigned to or destroyed.
class AVIARY_API Model {
 public:
  // `path` is a file (.safetensors, .pth, .gguf, or .bin of rwkv.cpp), a folder of Hugging Face (a single
  // file or shards with their index, and a tokenizer), or a run folder. Format and version are recognized by
  // content. The file stays open as long as the model exists and must not be modified in place; it may be
  // replaced by another file. Throws Error if it cannot be read, is damaged, contains NaN or infinity, or is
  // of an unknown version, and if the tokenizer cannot be read or has more tokens than the model.
  static Model load(const std::filesystem::path& path, const LoadOptions& options = {});

  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  const ModelInfo& info() const;
  int64_t vocab_size() const { return info().vocab_size; }

  // The state before the first token.
  State new_state() const;
  // The state of a file of state tuning, to begin with instead of new_state(). Throws Error if it is not one,
  // if it is of a model of other sizes, and if it says that it was trained on another model (unless
  // LoadOptions::any_base); for that the file of the model must still be where it was.
  State tuned_state(const std::filesystem::path& path) const;
  // The state from the result of its to_bytes(). Throws Error if it is not a state of a model of this version
  // and sizes.
  State state_from_bytes(std::span<const std::byte> bytes) const;

  // Reads the tokens, which follow those that `state` has read, and returns the logits [V] for the next
  // token; `state` becomes the state after them. Long inputs are read in pieces, so memory does not grow with
  // their length. However a text is divided into calls, the logits differ only by rounding. Throws Error,
  // with `state` unchanged, if there are no tokens, one is not in [0, V), or the state is not of a model of
  // this version and sizes.
  std::vector<float> forward(std::span<const int32_t> tokens, State& state);
  // The same, but returns the logits of every token, row by row: [tokens.size(), V].
  std::vector<float> forward_all(std::span<const int32_t> tokens, State& state);
  // Reads one token for each of these states in one step: faster than separate calls, with the same numbers.
  // Returns [tokens.size(), V]. Throws the errors of forward(), and Error if a state occurs twice.
  std::vector<float> forward_batch(std::span<const int32_t> tokens, std::span<State* const> states);

  bool has_tokenizer() const;
  // Any bytes can be encoded, and decode(encode(text)) == text, unless the vocabulary is one of characters
  // (Error for an unknown one) or a tokenizer.json that normalizes. Both throw Error if the model has no
  // tokenizer.
  std::vector<int32_t> encode(std::string_view text) const;
  // The result may end inside a UTF-8 character. Tokens without text (the end of text, padding) give none; a
  // negative one throws Error.
  std::string decode(std::span<const int32_t> tokens) const;

  // Continues `prompt` from a new state. `show` receives the text as it is generated, complete UTF-8
  // characters only, on the calling thread; it returns false to stop, and may use the model. Throws Error if
  // the model has no tokenizer or an option is invalid, and any exception of `show`.
  Generation generate(std::string_view prompt, const GenerateOptions& options = {},
                      const std::function<bool(std::string_view)>& show = {});

 private:
  struct Implementation;
  explicit Model(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace v0
}  // namespace aviary
