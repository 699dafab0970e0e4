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

// The generation of this interface; it also keeps these names apart from those inside the library.
inline namespace v0 {

// What the factors of matrix products are rounded to. Sums, states and everything else are float32 always.
enum class Precision : uint8_t {
  automatic,  // bf16 where the CPU multiplies it and most weights of the file have no more bits, else f32
  f32,
  bf16,     // runs everywhere, and is faster where the CPU has bf16 dot products
  fastest,  // bf16 where that is faster, else f32
};

struct LoadOptions {
  Precision precision = Precision::automatic;  // of products with float32 weights
  // For models without a tokenizer: "bytes", or the path of a World vocabulary, a tokenizer.json (byte-level
  // BPE), a vocab.json of characters, or another model that has one. Empty: the one in the model's file or
  // beside it in its folder; without one, bytes when the vocabulary has 256 tokens, else none.
  std::string tokenizer = {};
  // The weights as this CPU multiplies them are mapped from a file beside the model file, FILE.packed, which
  // is written the first time and when it is of another model, CPU or precision. Where it cannot be written
  // the model is loaded all the same.
  bool cache = false;
};

struct ModelInfo {
  std::string version;  // "rwkv7"
  int64_t layers = 0;
  int64_t width = 0;         // n_embd
  int64_t vocab_size = 0;    // V: the logits of one token
  int64_t context = 0;       // tokens of a sequence in training; 0: unknown. Not a limit
  int64_t parameters = 0;    // numbers in all
  Precision precision = {};  // f32 or bf16
};

// The defaults are those of the RWKV pip package, except that nothing is penalized.
struct SamplingOptions {
  double temperature = 1;        // 0: always the most probable token
  int64_t top_k = 0;             // only the k most probable tokens; 0: all
  double top_p = 0.85;           // only the most probable tokens whose sum reaches p, in (0, 1]
  double top_a = 0;              // only tokens with p >= top_a * (largest p)^2; 0: all
  double top_p_x = 0;            // beside top_p, every token with at least this probability; 0: none
  double presence_penalty = 0;   // subtracted from the logit of a token that was written before
  double frequency_penalty = 0;  // the same for each time it was written
  double penalty_decay = 0.996;  // how the count of the frequency penalty fades with each token
  uint64_t seed = 0;             // same seed, same text
};

struct GenerateOptions {
  int64_t tokens = 200;  // at most
  SamplingOptions sampling = {};
  std::vector<std::string> stop = {};  // the text ends before the first of these; none may be empty
};

struct Generation {
  enum class End : uint8_t { length, stop, end_of_text, interrupted };

  std::string text;  // all that was shown, without the prompt
  int64_t prompt_tokens = 0, tokens = 0;
  double prompt_seconds = 0, seconds = 0;  // reading the prompt, writing the text
  End end = End::length;
};

// What a model remembers of the tokens it has read: a value of its own that may be copied, kept, and outlive
// the model. Different threads may use different states; one state is not for two threads at once.
class AVIARY_API State {
 public:
  // Of no model; Model::new_state() makes the others.
  State();
  State(const State& other);
  State& operator=(const State& other);
  State(State&&) noexcept;
  State& operator=(State&&) noexcept;
  ~State();

  bool empty() const;
  // The largest absolute difference of two numbers at the same place; NaN when either state holds one. Throws
  // Error unless both are states of models of the same version and sizes.
  double max_difference(const State& other) const;
  // To keep it in a file; Model::state_from_bytes() reads it. Throws Error when empty.
  std::vector<std::byte> to_bytes() const;

 private:
  friend class Model;
  struct Implementation;
  explicit State(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

// A model, which changes no more, and the memory to run it. Threads may share one; their calls do not wait
// for each other. A Model that was moved from can only be assigned to or destroyed.
class AVIARY_API Model {
 public:
  // `path` is a file (.safetensors, .pth, .gguf, or .bin of rwkv.cpp), a folder of Hugging Face (one file or
  // several with their index, a tokenizer beside them), or the folder of a training run. Format and version
  // are recognized by content. The file stays open while the model lives and must not be changed in place;
  // replacing it by another is fine. Throws Error when it cannot be read, is damaged, holds NaN or infinity,
  // or is of an unknown version, and when the tokenizer cannot be read or has more tokens than the model.
  static Model load(const std::filesystem::path& path, const LoadOptions& options = {});

  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  const ModelInfo& info() const;
  int64_t vocab_size() const { return info().vocab_size; }

  // The state before the first token.
  State new_state() const;
  // The state whose to_bytes() these are. Throws Error when they are not one of a model of this version and
  // sizes.
  State state_from_bytes(std::span<const std::byte> bytes) const;

  // Reads the tokens, which follow those that `state` has seen, and returns the logits [V] of the token after
  // the last one; `state` becomes the state after it. Long inputs are read in pieces, so memory does not grow
  // with them. However a text is cut into calls, the logits differ by rounding only. Throws Error, with
  // `state` as it was, when there are no tokens, one is not in [0, V), or the state is not of a model of this
  // version and sizes.
  std::vector<float> forward(std::span<const int32_t> tokens, State& state);
  // The same, but returns the logits of every token, row by row: [tokens.size(), V].
  std::vector<float> forward_all(std::span<const int32_t> tokens, State& state);
  // One token for each of these different states, all together: faster than one after the other, and the same
  // numbers. Returns [tokens.size(), V]. Throws Error as forward() does, and for a state that is there twice.
  std::vector<float> forward_batch(std::span<const int32_t> tokens, std::span<State* const> states);

  bool has_tokenizer() const;
  // Any bytes have tokens, and decode(encode(text)) == text, unless the vocabulary is one of characters
  // (Error for one that it lacks) or a tokenizer.json that normalizes. Both throw Error when the model came
  // without a tokenizer.
  std::vector<int32_t> encode(std::string_view text) const;
  // May end inside a UTF-8 character. Tokens without text (the end of text, padding) give none; a negative
  // one throws Error.
  std::string decode(std::span<const int32_t> tokens) const;

  // Continues `prompt` from a new state. `show` receives the text as it comes, whole UTF-8 characters only,
  // on the calling thread; it returns false to stop, and may use the model. Throws Error when the model came
  // without a tokenizer or an option cannot be, and whatever `show` throws.
  Generation generate(std::string_view prompt, const GenerateOptions& options = {},
                      const std::function<bool(std::string_view)>& show = {});

 private:
  struct Implementation;
  explicit Model(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace v0
}  // namespace aviary
