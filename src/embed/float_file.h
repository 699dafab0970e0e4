// Small .safetensors files with float32 tensors, of statistics and classifiers.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "formats/tensor_table.h"

namespace aviary {

// `numbers` must outlive the entry.
TensorEntry float_tensor(const char* name, std::vector<int64_t> shape, const std::vector<float>& numbers);

class FloatFile {
 public:
  // `maker`: what writes such files, for messages. Throws Error if it is no .safetensors or damaged.
  FloatFile(const std::filesystem::path& path, std::string maker);

  const std::string& where() const { return where_; }
  // Throws Error if there is no such entry.
  const std::string& metadata(const char* key) const;
  // The numbers of a tensor; none if there is no such tensor. Throws Error if one is not finite.
  std::vector<float> numbers(std::string_view name) const;

 private:
  std::string where_, maker_;
  MappedFile file_;
  TensorTable table_;
};

}  // namespace aviary
