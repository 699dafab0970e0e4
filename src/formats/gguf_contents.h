// What every GGUF file is written from: keys with values, and tensors.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf_format.h"
#include "formats/gguf_vocabulary.h"
#include "formats/tensor_table.h"

namespace aviary::gguf {

// A tensor as it will be in the file.
struct Piece {
  std::string name;
  std::vector<int64_t> shape;  // row-major; the file has the sizes in the opposite order
  Dtype type = Dtype::f32;
  // Computed when it is written; `scratch` must exist until then.
  std::function<StoredTensor(TensorTable& scratch)> make;
};

// Keys and values, in the order of the calls.
class KeyWriter {
 public:
  void text(std::string_view key, std::string_view value);
  void number(std::string_view key, int64_t value);  // as u32
  void number(std::string_view key, float value);
  void tokens(std::span<const Token> tokens);

  uint64_t count() const { return count_; }
  const std::string& bytes() const { return bytes_; }

 private:
  template <typename T>
  void raw(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void string(std::string_view text);
  void begin(std::string_view key, ValueType type);
  void begin_array(std::string_view key, ValueType type, size_t size);

  std::string bytes_;
  uint64_t count_ = 0;
};

// Everything in the file: what comes before the data, and the tensors.
struct Contents {
  std::string head;
  std::vector<Piece> pieces;
};
// Throws Error, beginning with `where`, for types and shapes that GGUF does not have.
Contents contents_of(const KeyWriter& keys, std::vector<Piece> pieces, const std::string& where);

// The size of the file.
int64_t bytes_of(const Contents& contents, const std::string& where);
// Atomically.
void write(const std::filesystem::path& path, const Contents& contents, const WriteProgress& progress = {});

}  // namespace aviary::gguf
