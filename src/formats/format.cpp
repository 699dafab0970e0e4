#include "formats/format.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "base/download.h"
#include "base/error.h"

namespace aviary {
namespace {

constexpr const FileFormat* formats[] = {&pth_format, &safetensors_format, &rwkv_cpp_format, &gguf_format};

bool looks_like_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    unsigned char byte = static_cast<unsigned char>(c);
    return (byte >= 0x20 && byte != 0x7f) || c == '\n' || c == '\r' || c == '\t';
  });
}

// A guess at what a file in none of the formats is.
std::string_view guess(std::string_view text) {
  if (text.starts_with("lmgg") || text.starts_with("tjgg"))
    return "a ggml file of an old llama.cpp, a format that is not read";
  if (const std::string_view instead = failed_download(text); !instead.empty()) return instead;
  if (text.starts_with("\x80")) return "a Python pickle that torch.save did not write";
  if (looks_like_text(text.substr(0, 512))) return "text";
  return "of an unknown kind";
}

}  // namespace

const FileFormat* file_format_of(Bytes bytes) {
  for (const FileFormat* format : formats)
    if (format->probe(bytes)) return format;
  return nullptr;
}

TensorTable parse_stored_tensors(Bytes bytes, const std::string& where) {
  if (const FileFormat* format = file_format_of(bytes)) return format->read(bytes, where);
  std::vector<std::string_view> known;
  for (const FileFormat* format : formats) known.push_back(format->files);
  fail("{}: the file is {}; expected one of {}", where, guess(as_text(bytes)), fmt::join(known, ", "));
}

}  // namespace aviary
