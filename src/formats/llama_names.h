// How llama.cpp names and shapes the tensors of RWKV-6 and RWKV-7 in GGUF files, beside the original
// checkpoints. One table for reading and for writing.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace aviary {

enum class LlamaForm {
  same,
  channels,   // [1, 1, C] of the original is [C]
  heads,      // [H, n] is [C]
  transposed  // the last two axes are exchanged
};

struct LlamaTensor {
  std::string_view original, llama;  // without "blocks.<i>." and "blk.<i>."
  LlamaForm form = LlamaForm::same;
  bool always_f32 = false;  // llama.cpp computes with it as f32
};

struct LlamaArchitecture {
  std::string_view name;  // of the architecture there and of the version here
  std::span<const LlamaTensor> block;
  // The rows of blk.<i>.time_mix_lerp_fused.weight [rows, 1, 1, C], each [1, 1, C] of the original.
  std::span<const std::string_view> fused;
  // Older files have them one by one instead.
  std::span<const LlamaTensor> unfused;
};

inline constexpr std::string_view llama_fused = "time_mix_lerp_fused.weight";

// Null for other names.
const LlamaArchitecture* find_llama_architecture(std::string_view name);
// Outside of the blocks, with whole names.
std::span<const LlamaTensor> llama_outer_tensors();
// Layer 0 of RWKV-7 has no first value to mix with: true for the tensors that are fillers there. llama.cpp
// asks for them all the same, with the shapes of a0, a1 and a2.
bool is_llama_filler(const LlamaArchitecture& architecture, int64_t layer, const LlamaTensor& tensor);

}  // namespace aviary
