// The names and shapes of the tensors of RWKV-6 and RWKV-7 in llama.cpp's GGUF files, and those in the
// original checkpoints. One table, used for reading and writing.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace aviary {

enum class LlamaForm {
  same,
  channels,   // [1, 1, C] of the original is [C]
  heads,      // [H, n] is [C]
  transposed  // the last two axes are swapped
};

struct LlamaTensor {
  std::string_view original, llama;  // without "blocks.<i>." and "blk.<i>."
  LlamaForm form = LlamaForm::same;
  bool always_f32 = false;  // llama.cpp requires f32
};

struct LlamaArchitecture {
  std::string_view name;  // of the architecture in llama.cpp and of the version in Aviary
  std::span<const LlamaTensor> block;
  // The rows of blk.<i>.time_mix_lerp_fused.weight [rows, 1, 1, C], each [1, 1, C] of the original.
  std::span<const std::string_view> fused;
  // Older files have them as separate tensors.
  std::span<const LlamaTensor> unfused;
};

inline constexpr std::string_view llama_fused = "time_mix_lerp_fused.weight";

// Null for other names.
const LlamaArchitecture* find_llama_architecture(std::string_view name);
// Outside the blocks, with full names.
std::span<const LlamaTensor> llama_outer_tensors();
// True for tensors that layer 0 of RWKV-7 does not have, because there is no earlier value to mix with.
// llama.cpp requires them nevertheless, with the shapes of a0, a1 and a2, so placeholders are written.
bool is_llama_filler(const LlamaArchitecture& architecture, int64_t layer, const LlamaTensor& tensor);

}  // namespace aviary
