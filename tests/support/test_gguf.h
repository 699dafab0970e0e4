// Hand-made GGUF files. For tests only.
#pragma once

#include <string>
#include <vector>

#include "support/test_bytes.h"

namespace aviary {

inline std::string gguf_text(const std::string& text) { return le(uint64_t{text.size()}) + text; }
inline std::string gguf_key(const std::string& name, uint32_t type, const std::string& value) {
  return gguf_text(name) + le(type) + value;
}
inline std::string gguf_text_key(const std::string& name, const std::string& value) {
  return gguf_key(name, 8, gguf_text(value));
}
inline std::string gguf_array(uint32_t type, uint64_t count, const std::string& values) {
  return le(type) + le(count) + values;
}

struct TestGgufTensor {
  std::string name = "x";
  std::vector<uint64_t> sizes = {2, 3};  // fastest first
  uint32_t type = 0;
  uint64_t offset = 0;

  std::string bytes() const {
    std::string text = gguf_text(name) + le(static_cast<uint32_t>(sizes.size()));
    for (uint64_t size : sizes) text += le(size);
    return text + le(type) + le(offset);
  }
};

inline std::string gguf_of(const std::vector<std::string>& keys, const std::vector<TestGgufTensor>& tensors,
                           const std::string& data, uint32_t version = 3, size_t alignment = 32) {
  std::string text = "GGUF"s + le(version) + le(uint64_t{tensors.size()}) + le(uint64_t{keys.size()});
  for (const std::string& key : keys) text += key;
  for (const TestGgufTensor& tensor : tensors) text += tensor.bytes();
  text.resize((text.size() + alignment - 1) / alignment * alignment);
  return text + data;
}

}  // namespace aviary
