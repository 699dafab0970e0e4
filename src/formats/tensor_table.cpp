#include "formats/tensor_table.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "formats/bytes.h"
#include "numbers/encoding.h"

namespace aviary {

int64_t expected_bytes(const TensorEntry& tensor, std::string_view where) {
  require(tensor.shape.size() <= max_tensor_rank, "{}: tensor {} has {} dimensions, expected at most {}",
          where, in_quotes(tensor.name), tensor.shape.size(), max_tensor_rank);
  const Block block = block_of(tensor.dtype);
  const int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
  require(row % block.elements == 0, "{}: tensor {} has rows of {} numbers, expected a multiple of {} for {}",
          where, in_quotes(tensor.name), row, block.elements, name_of(tensor.dtype));
  // Skips zeros, so that no partial product of the sizes can overflow.
  int64_t bytes = block.bytes;
  bool empty = false;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    const int64_t size = i + 1 < tensor.shape.size() ? tensor.shape[i] : tensor.shape[i] / block.elements;
    empty = empty || size == 0;
    if (size < 0 || (size > 0 && !multiply(bytes, size, bytes)))
      fail("{}: tensor {} has the impossible shape [{}]", where, in_quotes(tensor.name),
           fmt::join(tensor.shape, ", "));
  }
  return empty ? 0 : bytes;
}

int64_t count_of(const TensorEntry& tensor) {
  const Block block = block_of(tensor.dtype);
  return std::ssize(tensor.stored()) / block.bytes * block.elements;
}

bool is_matrix(const TensorEntry& tensor) {
  const auto axes = std::count_if(tensor.shape.begin(), tensor.shape.end(), [](int64_t n) { return n > 1; });
  const bool empty = std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end();
  return axes == 2 && !empty && tensor.name.ends_with(".weight");
}

std::vector<double> to_doubles(const TensorEntry& tensor) {
  std::vector<double> numbers(tensor.is_transposed() ? 0 : static_cast<size_t>(count_of(tensor)));
  decode(tensor.dtype, tensor.data.data(), std::span(numbers));
  return numbers;
}

void to_floats(const TensorEntry& tensor, std::span<float> out) {
  require(out.size() == static_cast<size_t>(count_of(tensor)), "tensor {} has {} elements, expected {}",
          in_quotes(tensor.name), count_of(tensor), out.size());
  decode(tensor.dtype, tensor.data.data(), out);
}

std::vector<StoredTensor> unchanged(std::span<const TensorEntry> tensors) {
  std::vector<StoredTensor> all;
  all.reserve(tensors.size());
  for (const TensorEntry& tensor : tensors) all.push_back({tensor, tensor.dtype});
  return all;
}

int64_t bytes_of(std::span<const StoredTensor> tensors) {
  int64_t bytes = 0;
  for (const StoredTensor& tensor : tensors) bytes += tensor.bytes();
  return bytes;
}

void write_stored(const StoredTensor& tensor, const std::function<void(std::span<const std::byte>)>& write) {
  const TensorEntry& source = tensor.source;
  constexpr int64_t piece = 1 << 20;  // numbers; whole blocks of every type
  if (source.dtype == tensor.type) {
    const size_t bytes = static_cast<size_t>(bytes_of(tensor.type, piece));
    for (size_t begin = 0; begin < source.data.size(); begin += bytes)
      write(source.data.subspan(begin, std::min(bytes, source.data.size() - begin)));
    return;
  }
  const int64_t count = count_of(source);
  std::vector<float> numbers(static_cast<size_t>(std::min(piece, count)));
  std::vector<std::byte> bytes(static_cast<size_t>(bytes_of(tensor.type, std::ssize(numbers))));
  for (int64_t begin = 0; begin < count; begin += piece) {
    const size_t size = static_cast<size_t>(std::min(piece, count - begin));
    const std::span<float> part = std::span(numbers).first(size);
    decode(source.dtype, source.data.data() + bytes_of(source.dtype, begin), part);
    encode(part, tensor.type, bytes.data());
    write(std::span(bytes).first(static_cast<size_t>(bytes_of(tensor.type, std::ssize(part)))));
  }
}

}  // namespace aviary
