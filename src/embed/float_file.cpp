#include "embed/float_file.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "formats/safetensors.h"

namespace aviary {

TensorEntry float_tensor(const char* name, std::vector<int64_t> shape, const std::vector<float>& numbers) {
  return {.name = name,
          .dtype = Dtype::f32,
          .shape = std::move(shape),
          .data = std::as_bytes(std::span(numbers))};
}

FloatFile::FloatFile(const std::filesystem::path& path, std::string maker)
    : where_(path.string()), maker_(std::move(maker)), file_(path) {
  require(looks_like_safetensors(file_.bytes()), "{}: it is not a .safetensors file as {} writes it", where_,
          maker_);
  table_ = parse_safetensors(file_.bytes(), where_);
}

const std::string& FloatFile::metadata(const char* key) const {
  const auto found = table_.metadata.find(key);
  require(found != table_.metadata.end(), "{}: it is not a file that {} wrote: it has no metadata entry {}",
          where_, maker_, key);
  return found->second;
}

std::vector<float> FloatFile::numbers(std::string_view name) const {
  const auto found = std::ranges::find(table_.tensors, name, &TensorEntry::name);
  if (found == table_.tensors.end()) return {};
  std::vector<float> numbers(static_cast<size_t>(count_of(*found)));
  to_floats(*found, numbers);
  require(std::ranges::all_of(numbers, [](float x) { return std::isfinite(x); }),
          "{}: {} holds NaN or infinity; the file is damaged", where_, in_quotes(name));
  return numbers;
}

}  // namespace aviary
