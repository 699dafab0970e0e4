// Files with the vectors of texts.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace aviary {

// One line of JSON: {"line": 3, "text": "...", "embedding": [0.1, ...]}, and a line break. Bytes of the text
// that are not UTF-8 become U+FFFD.
std::string vector_line(int64_t line, const std::string& text, std::span<const float> vector);

// Throws Error unless the name ends in one of .jsonl, .npy, .csv and .safetensors.
void require_vector_file(const std::filesystem::path& path);

struct VectorTexts {
  std::vector<std::string> texts;
  std::vector<int64_t> lines;  // of the file that they come from
};
// Writes atomically, by the end of the name: .jsonl the lines above; .npy float32 [N, D] of NumPy; .csv the
// numbers of one vector per line, without a header; .safetensors the tensor "embeddings" [N, D]. All vectors
// have the same length, and there is at least one.
void write_vectors(const std::filesystem::path& path, const VectorTexts& texts,
                   std::span<const std::vector<float>> vectors);

}  // namespace aviary
