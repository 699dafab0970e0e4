#include "formats/tensor_file.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "formats/bytes.h"
#include "formats/dialects.h"
#include "formats/folder.h"
#include "formats/gguf.h"
#include "formats/pth.h"
#include "formats/rwkv_cpp.h"
#include "formats/safetensors.h"
#include "numbers/encoding.h"

namespace aviary {
namespace {

bool looks_like_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    unsigned char byte = static_cast<unsigned char>(c);
    return (byte >= 0x20 && byte != 0x7f) || c == '\n' || c == '\r' || c == '\t';
  });
}

// What a file of none of the formats seems to be.
std::string_view guess(std::string_view text) {
  if (text.starts_with("lmgg") || text.starts_with("tjgg"))
    return "a ggml file of an old llama.cpp, a format that is not read";
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

}  // namespace

TensorFile::TensorFile(std::vector<MappedFile> files, TensorTable table)
    : files_(std::move(files)), table_(std::move(table)) {
  index_.reserve(table_.tensors.size());
  for (size_t i = 0; i < table_.tensors.size(); ++i) index_.emplace(table_.tensors[i].name, i);
  if (!table_.buffers.empty())  // what they were made from has been read
    for (const MappedFile& file : files_) file.drop(file.bytes());
}

bool TensorFile::made(const TensorEntry& tensor) const {
  return std::ranges::any_of(table_.buffers, [&](const Buffer& buffer) {
    return buffer.data() && buffer.data() == tensor.data.data() && buffer.bytes() == std::ssize(tensor.data);
  });
}

Buffer TensorFile::take(const TensorEntry& tensor) {
  for (Buffer& buffer : table_.buffers)
    if (buffer.data() && buffer.data() == tensor.data.data()) return std::move(buffer);
  return {};
}

const TensorEntry* TensorFile::find(std::string_view name) const {
  auto found = index_.find(name);
  return found == index_.end() ? nullptr : &table_.tensors[found->second];
}

void TensorFile::drop(std::span<const std::byte> data) const {
  for (const MappedFile& file : files_) file.drop(data);
}

int64_t TensorFile::file_bytes() const {
  int64_t bytes = 0;
  for (const MappedFile& file : files_) bytes += std::ssize(file.bytes());
  return bytes;
}

TensorFile read_tensor_file(const std::filesystem::path& path, Transposed of_transposed) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return read_folder(path, of_transposed);
  std::vector<MappedFile> files(1);
  files[0] = MappedFile(path);
  TensorTable table = parse_stored_tensors(files[0].bytes(), path.string());
  table.of_transposed = of_transposed;
  return {std::move(files), to_original_names(std::move(table), path.string())};
}

bool looks_like_tensors(std::span<const std::byte> bytes) {
  return looks_like_pth(bytes) || looks_like_safetensors(bytes) || looks_like_rwkv_cpp(bytes) ||
         looks_like_gguf(bytes);
}

TensorTable parse_tensors(std::span<const std::byte> bytes, const std::string& where) {
  return to_original_names(parse_stored_tensors(bytes, where), where);
}

TensorTable parse_stored_tensors(std::span<const std::byte> bytes, const std::string& where) {
  if (looks_like_pth(bytes)) return parse_pth(bytes, where);
  if (looks_like_safetensors(bytes)) return parse_safetensors(bytes, where);
  if (looks_like_rwkv_cpp(bytes)) return parse_rwkv_cpp(bytes, where);
  if (looks_like_gguf(bytes)) return parse_gguf(bytes, where);
  fail("{}: the file is {}; expected a .safetensors, .pth or .gguf file, or a .bin file of rwkv.cpp", where,
       guess(as_text(bytes)));
}

int64_t expected_bytes(const TensorEntry& tensor, std::string_view where) {
  require(tensor.shape.size() <= max_tensor_rank, "{}: tensor {} has {} dimensions, expected at most {}",
          where, in_quotes(tensor.name), tensor.shape.size(), max_tensor_rank);
  const Block block = block_of(tensor.dtype);
  const int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
  require(row % block.elements == 0, "{}: tensor {} has rows of {} numbers, expected a multiple of {} for {}",
          where, in_quotes(tensor.name), row, block.elements, name_of(tensor.dtype));
  // Without the zeros, so that no product of some of the sizes can overflow either.
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
