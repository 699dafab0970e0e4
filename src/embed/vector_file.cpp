#include "embed/vector_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "formats/safetensors.h"

namespace aviary {
namespace {

constexpr std::string_view endings[] = {".jsonl", ".npy", ".csv", ".safetensors"};
constexpr size_t piece = size_t{1} << 20;  // bytes, of a file that is written

void write_lines(const std::filesystem::path& path, size_t count,
                 const std::function<std::string(size_t)>& line) {
  AtomicFile file(path);
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    text += line(i);
    if (text.size() < piece) continue;
    file.write(text);
    text.clear();
  }
  file.write(text);
  file.commit();
}

// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, version 1.0
void write_npy(const std::filesystem::path& path, std::span<const std::vector<float>> vectors) {
  constexpr size_t alignment = 64;
  const std::string magic("\x93NUMPY\x01\x00", 8);
  std::string header = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}",
                                   vectors.size(), vectors[0].size());
  while ((magic.size() + 2 + header.size() + 1) % alignment != 0) header += ' ';
  header += '\n';
  const std::string length{static_cast<char>(header.size() % 256), static_cast<char>(header.size() / 256)};
  AtomicFile file(path);
  file.write(magic + length + header);
  for (const std::vector<float>& vector : vectors) file.write(std::as_bytes(std::span(vector)));
  file.commit();
}

void write_tensor(const std::filesystem::path& path, std::span<const std::vector<float>> vectors) {
  std::vector<float> numbers;
  for (const std::vector<float>& vector : vectors)
    numbers.insert(numbers.end(), vector.begin(), vector.end());
  const TensorEntry tensor{.name = "embeddings",
                           .dtype = Dtype::f32,
                           .shape = {std::ssize(vectors), std::ssize(vectors[0])},
                           .data = std::as_bytes(std::span(numbers))};
  write_safetensors(path, unchanged({&tensor, 1}));
}

}  // namespace

std::string vector_line(int64_t line, const std::string& text, std::span<const float> vector) {
  const std::string quoted =
      nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return fmt::format("{{\"line\": {}, \"text\": {}, \"embedding\": [{}]}}\n", line, quoted,
                     fmt::join(vector, ", "));
}

void require_vector_file(const std::filesystem::path& path) {
  require(std::ranges::find(endings, path.extension().string()) != std::end(endings),
          "{}: vectors are written as {}, by the end of the name; name such a file", path.string(),
          fmt::join(endings, ", "));
}

void write_vectors(const std::filesystem::path& path, const VectorTexts& texts,
                   std::span<const std::vector<float>> vectors) {
  require_vector_file(path);
  const std::string ending = path.extension().string();
  if (ending == ".npy") return write_npy(path, vectors);
  if (ending == ".safetensors") return write_tensor(path, vectors);
  write_lines(path, vectors.size(), [&](size_t i) {
    return ending == ".csv" ? fmt::format("{}\n", fmt::join(vectors[i], ","))
                            : vector_line(texts.lines[i], texts.texts[i], vectors[i]);
  });
}

}  // namespace aviary
