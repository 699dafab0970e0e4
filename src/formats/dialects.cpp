#include "formats/dialects.h"

#include <fmt/ranges.h>

#include <cstring>

#include "base/error.h"
#include "formats/bytes.h"

namespace aviary {
namespace {

// One line for each dialect, a file of its own.
const std::vector<const Dialect*>& dialects() {
  static const std::vector<const Dialect*> all = {};
  return all;
}

std::span<std::byte> new_buffer(TensorTable& table, size_t size) {
  table.buffers.emplace_back(size);
  return table.buffers.back();
}

}  // namespace

TensorTable to_original_names(TensorTable table, const std::string& where) {
  for (const Dialect* dialect : dialects())
    if (dialect->recognize(table)) {
      table.dialect = dialect->name;
      return dialect->translate(std::move(table), where);
    }
  return table;
}

TensorEntry made_tensor(TensorTable& table, std::string name, std::vector<int64_t> shape,
                        std::span<const float> numbers) {
  const std::span<std::byte> buffer = new_buffer(table, numbers.size_bytes());
  if (!numbers.empty()) std::memcpy(buffer.data(), numbers.data(), buffer.size());
  return {.name = std::move(name), .dtype = Dtype::f32, .shape = std::move(shape), .data = buffer};
}

TensorEntry transposed(TensorTable& table, const TensorEntry& matrix, std::string name) {
  require(matrix.shape.size() == 2 && !is_quantized(matrix.dtype),
          "tensor {} has the shape [{}] of {}, expected a matrix of plain numbers", in_quotes(matrix.name),
          fmt::join(matrix.shape, ", "), name_of(matrix.dtype));
  const size_t rows = static_cast<size_t>(matrix.shape[0]), cols = static_cast<size_t>(matrix.shape[1]);
  const size_t size = static_cast<size_t>(size_of(matrix.dtype));
  const std::span<std::byte> buffer = new_buffer(table, matrix.data.size());
  for (size_t row = 0; row < rows; ++row)
    for (size_t col = 0; col < cols; ++col)
      std::memcpy(&buffer[(col * rows + row) * size], &matrix.data[(row * cols + col) * size], size);
  return {.name = std::move(name),
          .dtype = matrix.dtype,
          .shape = {matrix.shape[1], matrix.shape[0]},
          .data = buffer};
}

TensorEntry renamed(const TensorEntry& tensor, std::string name, std::vector<int64_t> shape,
                    const std::string& where) {
  TensorEntry entry{
      .name = std::move(name), .dtype = tensor.dtype, .shape = std::move(shape), .data = tensor.data};
  require(static_cast<uint64_t>(expected_bytes(entry, where)) == tensor.data.size(),
          "{}: tensor {} has the shape [{}], expected the numbers of [{}]", where, in_quotes(tensor.name),
          fmt::join(tensor.shape, ", "), fmt::join(entry.shape, ", "));
  return entry;
}

}  // namespace aviary
