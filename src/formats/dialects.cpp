#include "formats/dialects.h"

#include <fmt/ranges.h>

#include <cstring>
#include <unordered_set>

#include "base/error.h"
#include "formats/bytes.h"

namespace aviary {
namespace {

// One line for each dialect, a file of its own.
const std::vector<const Dialect*>& dialects() {
  static const std::vector<const Dialect*> all = {&llama_dialect, &rwkv_cpp_dialect};
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
      table = dialect->translate(std::move(table), where);
      std::unordered_set<std::string_view> names;
      for (const TensorEntry& tensor : table.tensors)
        require(names.insert(tensor.name).second,
                "{}: two tensors become {} when their names of {} are translated", where,
                in_quotes(tensor.name), dialect->name);
      break;
    }
  return table;
}

TensorEntry made_tensor(TensorTable& table, std::string name, std::vector<int64_t> shape,
                        std::span<const float> numbers) {
  const std::span<std::byte> buffer = new_buffer(table, numbers.size_bytes());
  if (!numbers.empty()) std::memcpy(buffer.data(), numbers.data(), buffer.size());
  return {.name = std::move(name), .dtype = Dtype::f32, .shape = std::move(shape), .data = buffer};
}

TensorEntry transposed(TensorTable& table, const TensorEntry& tensor, std::string name,
                       const std::string& where) {
  require(tensor.shape.size() >= 2, "{}: tensor {} has the shape [{}], expected a matrix", where,
          in_quotes(tensor.name), fmt::join(tensor.shape, ", "));
  TensorEntry source = tensor;
  if (is_quantized(tensor.dtype)) {
    std::vector<float> numbers(static_cast<size_t>(count_of(tensor)));
    to_floats(tensor, numbers);
    source = made_tensor(table, tensor.name, tensor.shape, numbers);
  }
  TensorEntry result{.name = std::move(name), .dtype = source.dtype, .shape = source.shape, .data = {}};
  std::swap(result.shape.back(), result.shape[result.shape.size() - 2]);
  const std::span<std::byte> buffer = new_buffer(table, source.data.size());
  result.data = buffer;
  const size_t rows = static_cast<size_t>(result.shape.back()),
               cols = static_cast<size_t>(result.shape[result.shape.size() - 2]);
  const size_t size = static_cast<size_t>(size_of(source.dtype)), matrix = rows * cols * size;
  for (size_t begin = 0; begin < buffer.size(); begin += matrix)
    for (size_t row = 0; row < rows; ++row)
      for (size_t col = 0; col < cols; ++col)
        std::memcpy(&buffer[begin + (col * rows + row) * size],
                    &source.data[begin + (row * cols + col) * size], size);
  return result;
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
