// GGUF files of llama.cpp: RWKV-6 and RWKV-7 with its names, shapes and orders of axes
// (formats/llama_names.h).
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "formats/bytes.h"
#include "formats/dialects.h"
#include "formats/llama_keys.h"
#include "formats/llama_names.h"

namespace aviary {
namespace {

const std::string& value(const TensorTable& table, const std::string& key) {
  static const std::string none;
  auto found = table.metadata.find(key);
  return found == table.metadata.end() ? none : found->second;
}

// The number stored under `key`, 0 if there is none.
int64_t number(const TensorTable& table, const std::string& key, const std::string& where) {
  const std::string& text = value(table, key);
  if (text.empty()) return 0;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  require(error == std::errc() && end == text.data() + text.size() && number >= 0,
          "{}: the key {} is {}, expected a size", where, key, in_quotes(text));
  return number;
}

// Offsets, within a block, of the f16 scales by which all its numbers are multiplied.
std::vector<size_t> places_of_scales(Dtype type) {
  switch (type) {
    case Dtype::f16:
    case Dtype::q8_0:
    case Dtype::q5_0:
    case Dtype::q4_0:
      return {0};
    case Dtype::q5_1:
    case Dtype::q4_1:
    case Dtype::q4_k:
    case Dtype::q5_k:
      return {0, 2};
    case Dtype::q6_k:
      return {208};
    default:
      return {};
  }
}

// Multiplies by 2^power without further rounding: block formats by changing their scales, other types except
// f16 as f32.
TensorEntry times_power_of_two(TensorTable& table, const TensorEntry& tensor, int power) {
  const std::vector<size_t> places = places_of_scales(tensor.dtype);
  TensorEntry result = tensor;
  if (places.empty()) {
    std::vector<float> numbers(static_cast<size_t>(count_of(tensor)));
    to_floats(tensor, numbers);
    for (float& x : numbers) x = std::ldexp(x, power);
    return made_tensor(table, tensor.name, tensor.shape, numbers);
  }
  const std::span<std::byte> bytes = table.new_buffer(tensor.data.size());
  std::copy(tensor.data.begin(), tensor.data.end(), bytes.begin());
  const size_t block = static_cast<size_t>(block_of(tensor.dtype).bytes);
  for (size_t begin = 0; begin < bytes.size(); begin += block)
    for (size_t place : places) {
      f16 scale;
      std::memcpy(&scale, &bytes[begin + place], sizeof(scale));
      scale = to_f16(std::ldexp(to_float(scale), power));
      std::memcpy(&bytes[begin + place], &scale, sizeof(scale));
    }
  result.data = bytes;
  return result;
}

class Translation {
 public:
  Translation(TensorTable table, const LlamaArchitecture& architecture, const std::string& where)
      : table_(std::move(table)), architecture_(architecture), where_(where) {
    const std::string name(architecture.name);
    head_size_ = number(table_, name + ".wkv.head_size", where);
    rescale_every_ = number(table_, name + ".rescale_every_n_layers", where);
  }

  TensorTable run() {
    for (const TensorEntry& tensor : table_.tensors) translate(tensor);
    table_.tensors = std::move(result_);
    return std::move(table_);
  }

 private:
  void translate(const TensorEntry& tensor) {
    for (const LlamaTensor& outer : llama_outer_tensors())
      if (tensor.name == outer.llama) return add(tensor, outer, std::string(outer.original));
    int64_t layer = 0;
    const std::string_view inner = inside_block(tensor.name, layer);
    const std::string block = fmt::format("blocks.{}.", layer);
    if (inner == llama_fused) return split(tensor, block);
    for (std::span<const LlamaTensor> names : {architecture_.block, architecture_.unfused})
      for (const LlamaTensor& name : names) {
        if (inner != name.llama) continue;
        if (is_llama_filler(architecture_, layer, name)) return;
        return add(undo_rescaling(tensor, name, layer), name, block + std::string(name.original));
      }
    result_.push_back(tensor);  // unknown name, kept: loading the model will report it
  }

  // The part after "blk.<layer>."; empty for other names.
  static std::string_view inside_block(std::string_view name, int64_t& layer) {
    constexpr std::string_view prefix = "blk.";
    if (!name.starts_with(prefix)) return {};
    const char* last = name.data() + name.size();
    const auto [end, error] = std::from_chars(name.data() + prefix.size(), last, layer);
    if (error != std::errc() || layer < 0 || end == last || *end != '.') return {};
    return {end + 1, static_cast<size_t>(last - end - 1)};
  }

  void add(const TensorEntry& tensor, const LlamaTensor& name, std::string original) {
    result_.push_back(in_original_form(tensor, name.form, std::move(original)));
  }

  TensorEntry in_original_form(const TensorEntry& tensor, LlamaForm form, std::string name) {
    const int64_t count = count_of(tensor);
    switch (form) {
      case LlamaForm::channels:
        return renamed(tensor, std::move(name), {1, 1, count}, where_);
      case LlamaForm::heads:
        require(head_size_ > 0 && count % head_size_ == 0,
                "{}: tensor {} has {} numbers, expected a multiple of the head size {}", where_,
                in_quotes(tensor.name), count, head_size_);
        return renamed(tensor, std::move(name), {count / head_size_, head_size_}, where_);
      case LlamaForm::transposed:
        return transposed(table_, tensor, std::move(name), where_);
      default:
        return renamed(tensor, std::move(name), tensor.shape, where_);
    }
  }

  // In files for half precision, the matrices that write to the residual stream are divided by 2^(layer / n).
  TensorEntry undo_rescaling(const TensorEntry& tensor, const LlamaTensor& name, int64_t layer) {
    const bool divided = name.original == "att.output.weight" || name.original == "ffn.value.weight";
    const int64_t power = rescale_every_ > 0 && divided ? layer / rescale_every_ : 0;
    if (power == 0) return tensor;
    require(power < 64, "{}: tensor {} would be multiplied by 2^{}, which cannot be right", where_,
            in_quotes(tensor.name), power);
    return times_power_of_two(table_, tensor, static_cast<int>(power));
  }

  void split(const TensorEntry& tensor, const std::string& block) {
    const size_t rows = architecture_.fused.size();
    const int64_t channels = count_of(tensor) / static_cast<int64_t>(rows);
    require(!tensor.shape.empty() && tensor.shape.back() == channels &&
                count_of(tensor) == channels * static_cast<int64_t>(rows) &&
                channels % block_of(tensor.dtype).elements == 0,
            "{}: tensor {} has the shape [{}], expected [{}, 1, 1, channels]", where_, in_quotes(tensor.name),
            fmt::join(tensor.shape, ", "), rows);
    const size_t bytes = static_cast<size_t>(bytes_of(tensor.dtype, channels));
    for (size_t row = 0; row < rows; ++row)
      result_.push_back({.name = block + std::string(architecture_.fused[row]),
                         .dtype = tensor.dtype,
                         .shape = {1, 1, channels},
                         .data = tensor.data.subspan(row * bytes, bytes)});
  }

  TensorTable table_;
  const LlamaArchitecture& architecture_;
  const std::string& where_;
  int64_t head_size_ = 0, rescale_every_ = 0;
  std::vector<TensorEntry> result_;
};

constexpr const char* architecture_key = "general.architecture";

bool recognize_llama(const TensorTable& table) {
  const std::string& name = value(table, architecture_key);
  return table.format == "gguf" && !name.empty() && name != "aviary";
}

TensorTable translate_llama(TensorTable table, const std::string& where) {
  const std::string name = value(table, architecture_key);
  const LlamaArchitecture* architecture = find_llama_architecture(name);
  require(architecture != nullptr,
          "{}: the GGUF file holds a model of the architecture {}, expected rwkv7, rwkv6 or aviary", where,
          in_quotes(name));
  table = Translation(std::move(table), *architecture, where).run();
  check_llama_keys(table, name, where);
  return table;
}

}  // namespace

const Dialect llama_dialect{.name = "llama.cpp", .recognize = recognize_llama, .translate = translate_llama};

}  // namespace aviary
