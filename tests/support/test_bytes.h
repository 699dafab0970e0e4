// Hand-made files for the tests of the formats: bytes written as text, and the zip archives of torch. For
// tests only.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "formats/bytes.h"
#include "formats/tensor_file.h"
#include "support/repository.h"

namespace aviary {

using namespace std::string_literals;

// Little-endian bytes of a number.
template <typename T>
std::string le(T value) {
  static_assert(std::is_arithmetic_v<T>);
  std::string text(sizeof(T), '\0');
  std::memcpy(text.data(), &value, sizeof(T));
  return text;
}

// A copy of exactly this size, so that a sanitizer detects any read beyond it.
inline std::vector<std::byte> exact_copy(std::string_view text) {
  Bytes bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// The message of the Error that parse_tensors throws for the bytes, or "read".
inline std::string verdict(std::string_view text) {
  std::vector<std::byte> bytes = exact_copy(text);
  try {
    parse_tensors(bytes, "file");
  } catch (const Error& error) {
    return error.what();
  }
  return "read";
}

inline std::string floats(const std::vector<double>& values) {
  std::string text;
  for (double value : values) text += le(static_cast<float>(value));
  return text;
}

// A .bin file of rwkv.cpp; the sizes in the header follow from emb.weight and from the names of the blocks.
struct TestBinTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::string data;
  uint32_t type = 0;
};
inline std::string bin_tensor(const TestBinTensor& tensor) {
  std::string text = le(static_cast<uint32_t>(tensor.shape.size())) +
                     le(static_cast<uint32_t>(tensor.name.size())) + le(tensor.type);
  for (size_t i = tensor.shape.size(); i > 0; --i) text += le(static_cast<uint32_t>(tensor.shape[i - 1]));
  return text + tensor.name + tensor.data;
}
inline std::string bin_of(const std::vector<TestBinTensor>& tensors, uint32_t version = 101,
                          uint32_t type = 0) {
  uint32_t vocabulary = 0, width = 0, layers = 0;
  std::string text;
  for (const TestBinTensor& tensor : tensors) {
    text += bin_tensor(tensor);
    if (tensor.name == "emb.weight") {
      vocabulary = static_cast<uint32_t>(tensor.shape[0]);
      width = static_cast<uint32_t>(tensor.shape[1]);
    }
    if (tensor.name.starts_with("blocks."))
      layers = std::max(layers, static_cast<uint32_t>(std::stoi(tensor.name.substr(7))) + 1);
  }
  return le(uint32_t{0x67676d66}) + le(version) + le(vocabulary) + le(width) + le(layers) + le(type) + text;
}

struct TestZipEntry {
  std::string name;
  std::string data;
  uint16_t method = 0;
  uint16_t flags = 0;
  bool zip64 = false;
};

// The fields shared by the local header and the directory entry: from the flags to the size of the name.
inline std::string zip_fields(const TestZipEntry& entry) {
  uint32_t size = entry.zip64 ? 0xffffffff : static_cast<uint32_t>(entry.data.size());
  return le(entry.flags) + le(entry.method) + le(uint32_t{0}) + le(uint32_t{0}) + le(size) + le(size) +
         le(static_cast<uint16_t>(entry.name.size()));
}

inline std::string zip_of(const std::vector<TestZipEntry>& entries, const std::string& comment = "") {
  std::string body, directory;
  for (const TestZipEntry& entry : entries) {
    uint64_t offset = body.size();
    std::string extra;
    if (entry.zip64)
      extra = le(uint16_t{1}) + le(uint16_t{24}) + le(uint64_t{entry.data.size()}) +
              le(uint64_t{entry.data.size()}) + le(offset);
    body += "PK\x03\x04"s + le(uint16_t{45}) + zip_fields(entry) + le(uint16_t{0}) + entry.name + entry.data;
    directory += "PK\x01\x02"s + le(uint32_t{0}) + zip_fields(entry) +
                 le(static_cast<uint16_t>(extra.size())) + le(uint16_t{0}) + le(uint16_t{0}) +
                 le(uint16_t{0}) + le(uint32_t{0}) +
                 le(entry.zip64 ? 0xffffffffu : static_cast<uint32_t>(offset)) + entry.name + extra;
  }
  uint16_t count = static_cast<uint16_t>(entries.size());
  return body + directory + "PK\x05\x06" + le(uint32_t{0}) + le(count) + le(count) +
         le(static_cast<uint32_t>(directory.size())) + le(static_cast<uint32_t>(body.size())) +
         le(static_cast<uint16_t>(comment.size())) + comment;
}

// Parts of pickles.
inline std::string pickle_text(const std::string& text) {
  return "X"s + le(static_cast<uint32_t>(text.size())) + text;
}
inline std::string pickle_integer(int64_t value) { return "\x8a\x08"s + le(value); }
inline std::string pickle_tuple(const std::vector<int64_t>& values) {
  std::string text = "(";
  for (int64_t value : values) text += pickle_integer(value);
  return text + "t";
}

struct TestTensor {
  std::string type = "FloatStorage";
  std::string key = "0";
  int64_t count = 6;
  int64_t offset = 0;
  std::vector<int64_t> sizes = {2, 3};
  std::vector<int64_t> strides = {3, 1};
};
inline std::string pickle_tensor(const TestTensor& tensor) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(("s + pickle_text("storage") + "ctorch\n" + tensor.type + "\n" +
         pickle_text(tensor.key) + pickle_text("cpu") + pickle_integer(tensor.count) + "tQ" +
         pickle_integer(tensor.offset) + pickle_tuple(tensor.sizes) + pickle_tuple(tensor.strides) +
         "\x89"
         "ccollections\nOrderedDict\n)RtR";
}
// A dict of one tensor called "x".
inline std::string pickle_of(const TestTensor& tensor) {
  return "\x80\x02}"s + pickle_text("x") + pickle_tensor(tensor) + "s.";
}
inline std::string pth_of(const std::string& pickle, const std::string& storage = std::string(24, 'x')) {
  return zip_of({{"any/data.pkl", pickle}, {"any/data/0", storage}});
}

}  // namespace aviary
