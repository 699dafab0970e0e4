#include "formats/dialects.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <iterator>
#include <unordered_set>

#include "base/error.h"
#include "base/threads.h"
#include "formats/bytes.h"
#include "formats/trainer_names.h"

namespace aviary {
namespace {

// One line per dialect; each has its own file.
const std::vector<const Dialect*>& dialects() {
  static const std::vector<const Dialect*> all = {&llama_dialect, &rwkv_cpp_dialect, &fla_dialect,
                                                  &hugging_face_dialect, &web_rwkv_dialect};
  return all;
}

// `to` [cols, rows] becomes the transpose of `from` [rows, cols], in squares whose sides are a cache line:
// rows are often a power of two apart, so that few of their cache lines stay in the cache.
template <typename Number>
void transpose(const std::byte* from, size_t rows, size_t cols, std::byte* to) {
  constexpr size_t side = 64 / sizeof(Number), size = sizeof(Number);
  parallel_for(static_cast<int64_t>((cols + side - 1) / side), 4, [&](int64_t begin, int64_t end) {
    Number square[side][side];
    for (size_t col = static_cast<size_t>(begin) * side;
         col < std::min(cols, static_cast<size_t>(end) * side); col += side)
      for (size_t row = 0; row < rows; row += side) {
        const size_t width = std::min(side, cols - col), height = std::min(side, rows - row);
        for (size_t r = 0; r < height; ++r)
          for (size_t c = 0; c < width; ++c)
            std::memcpy(&square[c][r], from + ((row + r) * cols + col + c) * size, size);
        for (size_t c = 0; c < width; ++c)
          std::memcpy(to + ((col + c) * rows + row) * size, square[c], height * size);
      }
  });
}

}  // namespace

TensorTable to_original_names(TensorTable table, const std::string& where) {
  table = without_wrappers(std::move(table), where);
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

const TensorEntry* find_tensor(const TensorTable& table, std::string_view name) {
  const auto found = std::find_if(table.tensors.begin(), table.tensors.end(),
                                  [&](const TensorEntry& tensor) { return tensor.name == name; });
  return found == table.tensors.end() ? nullptr : &*found;
}

int64_t size_in(const TensorTable& table, std::string_view name, int axis) {
  const TensorEntry* tensor = find_tensor(table, name);
  const int64_t rank = tensor ? std::ssize(tensor->shape) : 0, index = axis < 0 ? axis + rank : axis;
  return index >= 0 && index < rank ? tensor->shape[static_cast<size_t>(index)] : 0;
}

int64_t layers_in(const TensorTable& table) {
  constexpr std::string_view prefix = "blocks.";
  int64_t layers = 0;
  for (const TensorEntry& tensor : table.tensors) {
    int64_t layer = -1;
    if (tensor.name.starts_with(prefix))
      std::from_chars(tensor.name.data() + prefix.size(), tensor.name.data() + tensor.name.size(), layer);
    layers = std::max(layers, std::min(layer, INT64_MAX - 1) + 1);
  }
  return layers;
}

TensorEntry made_tensor(TensorTable& table, std::string name, std::vector<int64_t> shape,
                        std::span<const float> numbers) {
  const std::span<std::byte> buffer = table.new_buffer(numbers.size_bytes());
  if (!numbers.empty()) std::memcpy(buffer.data(), numbers.data(), buffer.size());
  return {.name = std::move(name), .dtype = Dtype::f32, .shape = std::move(shape), .data = buffer};
}

TensorEntry transposed(TensorTable& table, const TensorEntry& tensor, std::string name,
                       const std::string& where) {
  require(tensor.shape.size() >= 2, "{}: tensor {} has the shape [{}], expected a matrix", where,
          in_quotes(tensor.name), fmt::join(tensor.shape, ", "));
  TensorEntry source = tensor;
  std::vector<float> numbers;
  if (is_quantized(tensor.dtype)) {
    numbers.resize(static_cast<size_t>(count_of(tensor)));
    to_floats(tensor, numbers);
    source.dtype = Dtype::f32;
    source.data = std::as_bytes(std::span(numbers));
  }
  TensorEntry result{.name = std::move(name), .dtype = source.dtype, .shape = source.shape, .data = {}};
  std::swap(result.shape.back(), result.shape[result.shape.size() - 2]);
  const bool plain = tensor.dtype == Dtype::f32 || tensor.dtype == Dtype::f16 || tensor.dtype == Dtype::bf16;
  if (table.of_transposed == Transposed::in_place && tensor.shape.size() == 2 && plain) {
    result.transposed = source.data;
    return result;
  }
  const std::span<std::byte> buffer = table.new_buffer(source.data.size());
  result.data = buffer;
  const size_t rows = static_cast<size_t>(result.shape.back()),
               cols = static_cast<size_t>(result.shape[result.shape.size() - 2]);
  const size_t matrix = rows * cols * static_cast<size_t>(size_of(source.dtype));
  for (size_t begin = 0; begin < buffer.size(); begin += matrix) {
    const std::byte* from = &source.data[begin];
    switch (size_of(source.dtype)) {
      case 1:
        transpose<uint8_t>(from, rows, cols, &buffer[begin]);
        break;
      case 2:
        transpose<uint16_t>(from, rows, cols, &buffer[begin]);
        break;
      case 4:
        transpose<uint32_t>(from, rows, cols, &buffer[begin]);
        break;
      default:
        transpose<uint64_t>(from, rows, cols, &buffer[begin]);
    }
  }
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

std::string replaced(std::string name, std::span<const Replacement> replacements) {
  for (const Replacement& row : replacements)
    for (size_t at = name.find(row.from); at != name.npos; at = name.find(row.from, at + row.to.size()))
      name.replace(at, row.from.size(), row.to);
  return name;
}

bool is_low_rank(std::string_view name) {
  constexpr std::string_view ends[] = {".w1", ".w2", ".a1", ".a2", ".v1", ".v2", ".g1", ".g2", "_w1", "_w2"};
  return std::any_of(std::begin(ends), std::end(ends),
                     [&](std::string_view end) { return name.ends_with(end); });
}

TensorEntry with_original_axes(const TensorEntry& tensor, const std::string& where) {
  constexpr std::string_view families[] = {".time_mix_", ".time_maa_", ".x_"};
  constexpr std::string_view others[] = {".att.w0", ".att.a0", ".att.v0", ".att.k_k", ".att.k_a"};
  const std::string_view name = tensor.name;
  auto ends_name = [&](std::string_view end) { return name.ends_with(end); };
  auto in_family = [&](std::string_view family) { return name.find(family) != name.npos; };
  const bool row = std::any_of(std::begin(others), std::end(others), ends_name) ||
                   (std::any_of(std::begin(families), std::end(families), in_family) && !is_low_rank(name));
  return row ? renamed(tensor, tensor.name, {1, 1, count_of(tensor)}, where) : tensor;
}

void split_token_shift(const TensorEntry& joined, const std::string& prefix, const std::string& where,
                       std::vector<TensorEntry>& out) {
  constexpr std::string_view order = "rwkvag";
  require(
      joined.shape.size() >= 2 && joined.shape.front() == std::ssize(order) && !is_quantized(joined.dtype),
      "{}: tensor {} has the shape [{}] of {}, expected six rows of plain numbers", where,
      in_quotes(joined.name), fmt::join(joined.shape, ", "), name_of(joined.dtype));
  const size_t bytes = joined.data.size() / order.size();
  for (size_t i = 0; i < order.size(); ++i) {
    TensorEntry row{.name = prefix + "x_" + order[i],
                    .dtype = joined.dtype,
                    .shape = {1, 1, count_of(joined) / std::ssize(order)},
                    .data = joined.data.subspan(i * bytes, bytes)};
    out.push_back(std::move(row));
  }
}

}  // namespace aviary
