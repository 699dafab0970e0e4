#include "formats/tensor_file.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "formats/bytes.h"
#include "formats/pth.h"
#include "formats/safetensors.h"

namespace aviary {
namespace {

bool looks_like_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    unsigned char byte = static_cast<unsigned char>(c);
    return (byte >= 0x20 && byte != 0x7f) || c == '\n' || c == '\r' || c == '\t';
  });
}

// What a file that is neither safetensors nor pth seems to be.
std::string_view guess(std::string_view text) {
  if (text.starts_with("GGUF")) return "a GGUF file, a format that is not read yet";
  if (text.starts_with("fmgg") || text.starts_with("lmgg") || text.starts_with("tjgg"))
    return "a ggml file of rwkv.cpp or an old llama.cpp, a format that is not read yet";
  if (text.starts_with("version https://git-lfs"))
    return "a Git LFS pointer, not the file itself; fetch it with `git lfs pull`";
  if (text.starts_with("\x1f\x8b")) return "compressed with gzip; unpack it first";
  if (text.starts_with("\x80")) return "a Python pickle that torch.save did not write";
  if (text.starts_with("<")) return "a web page, perhaps an error message saved by a download";
  if (looks_like_text(text.substr(0, 512))) return "text";
  if (text.find_first_not_of('\0') == std::string_view::npos)
    return "nothing but zeros, perhaps an unfinished download";
  return "of an unknown kind";
}

template <typename T>
T load(const std::byte* address) {
  T value;
  std::memcpy(&value, address, sizeof(T));
  return value;
}

template <typename Stored, typename Number>
void convert_as(std::span<const std::byte> data, std::span<Number> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    Stored value = load<Stored>(data.data() + i * sizeof(Stored));
    if constexpr (std::is_arithmetic_v<Stored>)
      out[i] = static_cast<Number>(value);
    else
      out[i] = static_cast<Number>(to_float(value));
  }
}

template <typename Number>
void convert(const TensorEntry& tensor, std::span<Number> out) {
  switch (tensor.dtype) {
    case Dtype::f32:
      return convert_as<float>(tensor.data, out);
    case Dtype::f64:
      return convert_as<double>(tensor.data, out);
    case Dtype::f16:
      return convert_as<f16>(tensor.data, out);
    case Dtype::bf16:
      return convert_as<bf16>(tensor.data, out);
    case Dtype::i8:
      return convert_as<int8_t>(tensor.data, out);
    case Dtype::u8:
      return convert_as<uint8_t>(tensor.data, out);
    case Dtype::i16:
      return convert_as<int16_t>(tensor.data, out);
    case Dtype::i32:
      return convert_as<int32_t>(tensor.data, out);
    case Dtype::i64:
      return convert_as<int64_t>(tensor.data, out);
    case Dtype::boolean:
      for (size_t i = 0; i < out.size(); ++i) out[i] = tensor.data[i] == std::byte{0} ? Number{0} : Number{1};
  }
}

size_t count_of(const TensorEntry& tensor) {
  return tensor.data.size() / static_cast<size_t>(size_of(tensor.dtype));
}

}  // namespace

TensorFile::TensorFile(MappedFile file, TensorTable table)
    : file_(std::move(file)), table_(std::move(table)) {
  index_.reserve(table_.tensors.size());
  for (size_t i = 0; i < table_.tensors.size(); ++i) index_.emplace(table_.tensors[i].name, i);
}

const TensorEntry* TensorFile::find(std::string_view name) const {
  auto found = index_.find(name);
  return found == index_.end() ? nullptr : &table_.tensors[found->second];
}

TensorFile read_tensor_file(const std::filesystem::path& path) {
  MappedFile file(path);
  TensorTable table = parse_tensors(file.bytes(), path.string());
  return {std::move(file), std::move(table)};
}

TensorTable parse_tensors(std::span<const std::byte> bytes, const std::string& where) {
  if (looks_like_pth(bytes)) return parse_pth(bytes, where);
  if (looks_like_safetensors(bytes)) return parse_safetensors(bytes, where);
  fail("{}: the file is {}; expected a .safetensors file or a .pth file of torch.save", where,
       guess(as_text(bytes)));
}

int64_t expected_bytes(const TensorEntry& tensor, std::string_view where) {
  require(tensor.shape.size() <= max_tensor_rank, "{}: tensor {} has {} dimensions, expected at most {}",
          where, in_quotes(tensor.name), tensor.shape.size(), max_tensor_rank);
  // Without the zeros, so that no product of some of the sizes can overflow either.
  int64_t bytes = size_of(tensor.dtype);
  bool empty = false;
  for (int64_t size : tensor.shape) {
    empty = empty || size == 0;
    if (size < 0 || (size > 0 && !multiply(bytes, size, bytes)))
      fail("{}: tensor {} has the impossible shape [{}]", where, in_quotes(tensor.name),
           fmt::join(tensor.shape, ", "));
  }
  return empty ? 0 : bytes;
}

std::vector<double> to_doubles(const TensorEntry& tensor) {
  std::vector<double> numbers(count_of(tensor));
  convert(tensor, std::span(numbers));
  return numbers;
}

void to_floats(const TensorEntry& tensor, std::span<float> out) {
  require(out.size() == count_of(tensor), "tensor {} has {} elements, expected {}", in_quotes(tensor.name),
          count_of(tensor), out.size());
  convert(tensor, out);
}

}  // namespace aviary
