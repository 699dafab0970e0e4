// The one view of a file of named tensors, whatever its format: the tensors of the program come from here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/files.h"
#include "tensor/dtype.h"

namespace aviary {

// More dimensions than any model has; it bounds the memory that a file can ask for.
constexpr size_t max_tensor_rank = 8;

struct TensorEntry {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<int64_t> shape;  // empty for a scalar
  // The elements, row-major, contiguous, little-endian. Not necessarily aligned: read them with memcpy or
  // with the functions below.
  std::span<const std::byte> data;
};

// What the bytes of a file say. `data` of the tensors points into those bytes or into `buffers`.
struct TensorTable {
  std::string format;  // "safetensors" or "pth"
  std::vector<TensorEntry> tensors;
  std::map<std::string, std::string> metadata;
  std::vector<std::vector<std::byte>> buffers;  // tensors that had to be made contiguous
};

// An open file of tensors; the data lives as long as this does.
class TensorFile {
 public:
  TensorFile(MappedFile file, TensorTable table);
  TensorFile(TensorFile&&) = default;
  TensorFile& operator=(TensorFile&&) = default;

  // In the order of the file: safetensors by the place of the data, pth by the order of the dict.
  const std::vector<TensorEntry>& tensors() const { return table_.tensors; }
  // Null when there is none.
  const TensorEntry* find(std::string_view name) const;
  // `__metadata__` of safetensors; empty for pth.
  const std::map<std::string, std::string>& metadata() const { return table_.metadata; }
  const std::string& format() const { return table_.format; }

 private:
  MappedFile file_;
  TensorTable table_;
  std::unordered_map<std::string_view, size_t> index_;  // the names live in table_
};

// Opens a safetensors file or a file of torch.save (zip, or the older form without zip). The format is
// recognized from the content, never from the name. Tensors are used where they lie in the file: nothing is
// copied but tensors that are stored transposed. Throws Error when the file is anything else or damaged.
TensorFile read_tensor_file(const std::filesystem::path& path);

// The same for bytes in memory; errors begin with `where`.
TensorTable parse_tensors(std::span<const std::byte> bytes, const std::string& where);

// Bytes that the dtype and the shape of `tensor` ask for; `data` is not looked at. Throws Error when a size
// is negative, the product is beyond 2^63, or there are more than
// max_tensor_rank dimensions.
int64_t expected_bytes(const TensorEntry& tensor, std::string_view where);

// The elements as numbers; a boolean becomes 0 or 1.
std::vector<double> to_doubles(const TensorEntry& tensor);
// `out` has as many elements as the tensor; throws Error otherwise.
void to_floats(const TensorEntry& tensor, std::span<float> out);

}  // namespace aviary
