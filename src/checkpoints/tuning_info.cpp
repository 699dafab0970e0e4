#include "checkpoints/tuning_info.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "checkpoints/checkpoint.h"

namespace aviary {
namespace {

using Json = nlohmann::json;

constexpr int64_t format = 1;
constexpr int64_t widest = int64_t{1} << 20;  // of a matrix

// The hash of the elements in the order of the shape, also where the file has a matrix transposed.
uint64_t hash_of_elements(const TensorEntry& tensor) {
  if (!tensor.is_transposed()) return XXH3_64bits(tensor.data.data(), tensor.data.size());
  const auto size = static_cast<size_t>(size_of(tensor.dtype));
  const auto rows = static_cast<size_t>(tensor.shape[0]), cols = static_cast<size_t>(tensor.shape[1]);
  std::vector<std::byte> row(cols * size);
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < cols; ++c)
      std::memcpy(&row[c * size], &tensor.transposed[(c * rows + r) * size], size);
    XXH3_64bits_update(&state, row.data(), row.size());
  }
  return XXH3_64bits_digest(&state);
}

// The first layer of RWKV-7 has no earlier value to mix with, so these are not used, and GGUF files lack
// them.
bool is_unused(std::string_view name) {
  return name == "blocks.0.att.v0" || name == "blocks.0.att.v1" || name == "blocks.0.att.v2";
}

// Without axes of size 1, which some programs drop.
std::string describe(const TensorEntry& tensor) {
  std::string text = fmt::format("{} {}", tensor.name, name_of(tensor.dtype));
  for (int64_t size : tensor.shape)
    if (size != 1) text += fmt::format(" {}", size);
  return text;
}

// "model.safetensors" of a run says nothing without its folder.
std::string name_of_file(const std::filesystem::path& path) {
  const std::filesystem::path clean = path.has_filename() ? path : path.parent_path();
  const std::string name = clean.filename().string();
  if (name != "model.safetensors" || clean.parent_path().filename().empty()) return name;
  return clean.parent_path().filename().string() + "/" + name;
}

std::string shown(const BaseInfo& base) {
  return fmt::format("{} ({}, hash {})", in_quotes(base.name), printable(base.type), printable(base.hash));
}

Json to_json(const BaseInfo& base, const std::string& trained_on, const std::string& chat_template) {
  Json json = {{"format", format},
               {"base_hash", printable(base.hash)},
               {"base_type", printable(base.type)},
               {"base_name", printable(base.name)},
               {"base_version", printable(base.version)},
               {"trained_on", printable(trained_on)}};
  if (!chat_template.empty()) json["chat_template"] = printable(chat_template);
  return json;
}

// Reads the members of one entry.
class Reader {
 public:
  Reader(const std::map<std::string, std::string>& metadata, const char* key, const std::string& where)
      : where_(fmt::format("{}, metadata entry {}", where, key)),
        json_(parse_short_json(metadata.at(key), where_)) {
    require(json_.is_object() && json_.value("format", Json()).is_number_integer(),
            "{}: expected an object with the number of its format", where_);
    require(json_["format"] == format,
            "{}: it has the format {}, but this program knows {}; the file was written by a newer Aviary",
            where_, json_["format"].dump(), format);
  }
  std::string text(const char* name) const {
    const Json value = json_.value(name, Json(""));
    require(value.is_string(), "{}: {} is {}, expected a text", where_, name, in_quotes(value.dump()));
    return value.get<std::string>();
  }
  double number(const char* name) const {
    const Json value = json_.value(name, Json());
    require(value.is_number() && std::isfinite(value.get<double>()), "{}: {} is {}, expected a number",
            where_, name, in_quotes(value.dump()));
    return value.get<double>();
  }
  bool flag(const char* name) const {
    const Json value = json_.value(name, Json(false));
    require(value.is_boolean(), "{}: {} is {}, expected true or false", where_, name,
            in_quotes(value.dump()));
    return value.get<bool>();
  }
  std::map<std::string, int64_t> widths(const char* name) const {
    const Json value = json_.value(name, Json::object());
    require(value.is_object(), "{}: {} is {}, expected an object", where_, name, in_quotes(value.dump()));
    std::map<std::string, int64_t> widths;
    for (const auto& [key, width] : value.items()) {
      require(width.is_number_integer() && width > 0 && width <= widest,
              "{}: {} of {} is {}, expected a size", where_, name, in_quotes(key), in_quotes(width.dump()));
      widths[key] = width.get<int64_t>();
    }
    return widths;
  }
  BaseInfo base() const {
    return {.hash = text("base_hash"),
            .type = text("base_type"),
            .name = text("base_name"),
            .version = text("base_version")};
  }
  const std::string& where() const { return where_; }

 private:
  std::string where_;
  Json json_;
};

}  // namespace

std::string base_hash_of(const TensorFile& file) {
  std::vector<const TensorEntry*> tensors;
  for (const TensorEntry& tensor : file.tensors())
    if (!is_unused(tensor.name)) tensors.push_back(&tensor);
  std::ranges::sort(tensors, {}, &TensorEntry::name);
  std::string text;
  for (const TensorEntry* tensor : tensors) {
    text += fmt::format("{} {:016x}\n", describe(*tensor), hash_of_elements(*tensor));
    file.drop(tensor->stored());
  }
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

BaseInfo base_info_of(const TensorFile& file, const std::filesystem::path& path) {
  std::array<int64_t, dtype_count> numbers{};
  for (const TensorEntry& tensor : file.tensors())
    numbers[static_cast<size_t>(tensor.dtype)] += count_of(tensor);
  const auto most = std::ranges::max_element(numbers) - numbers.begin();
  return {.hash = base_hash_of(file),
          .type = std::string(name_of(static_cast<Dtype>(most))),
          .name = name_of_file(path),
          .version = config_of(file, path.string()).version};
}

void require_base(const BaseInfo& said, const std::string& where, const TensorFile& base,
                  const std::filesystem::path& path, bool any) {
  if (!any && !said.hash.empty()) require_same_base(said, where, base_info_of(base, path));
}

void require_same_base(const BaseInfo& said, const std::string& where, const BaseInfo& found) {
  require(said.hash.empty() || found.hash == said.hash,
          "{}: it was trained on {}, but the model is {}, with other numbers, with which what it learned may "
          "be worth nothing; name the model that it was trained on (--force, any_base in the library, takes "
          "this one all the same)",
          where, shown(said), shown(found));
}

void require_storable(const TensorEntry& tensor, Dtype type, const std::string& where) {
  constexpr double largest_half = 65504;
  require(type == Dtype::f32 || type == Dtype::f16 || type == Dtype::bf16,
          "{}: the numbers of adapters and states are stored as f32, f16 or bf16, not as {}", where,
          name_of(type));
  for (const double number : to_doubles(tensor)) {
    require(std::isfinite(number),
            "{}: {} holds NaN or infinity: the training diverged, or the file is damaged", where,
            in_quotes(tensor.name));
    require(type != Dtype::f16 || std::abs(number) <= largest_half,
            "{}: {} holds {}, but f16 ends at {}; name another type with --type, or another kind of file",
            where, in_quotes(tensor.name), number, largest_half);
  }
}

std::string to_json(const AdapterInfo& info, int64_t rank, const std::map<std::string, int64_t>& inputs) {
  Json json = to_json(info.base, info.trained_on, info.chat_template);
  json["method"] = info.method;
  json["rank"] = rank;
  json["alpha"] = info.alpha;
  json["rank_stabilized"] = info.rank_stabilized;
  if (!inputs.empty()) json["inputs"] = inputs;
  return json.dump();
}

std::string to_json(const StateInfo& info) {
  return to_json(info.base, info.trained_on, info.chat_template).dump();
}

std::optional<StoredAdapterInfo> adapter_info_in(const std::map<std::string, std::string>& metadata,
                                                 const std::string& where) {
  if (!metadata.contains(adapter_info_key)) return {};
  const Reader reader(metadata, adapter_info_key, where);
  StoredAdapterInfo stored;
  stored.info = {.method = reader.text("method"),
                 .alpha = reader.number("alpha"),
                 .rank_stabilized = reader.flag("rank_stabilized"),
                 .base = reader.base(),
                 .trained_on = reader.text("trained_on"),
                 .chat_template = reader.text("chat_template")};
  stored.inputs = reader.widths("inputs");
  require(std::ranges::find(adapter_methods, stored.info.method) != std::end(adapter_methods),
          "{}: method is {}, expected one of {}; the file was written by a newer Aviary, or is damaged",
          reader.where(), in_quotes(stored.info.method), fmt::join(adapter_methods, ", "));
  return stored;
}

std::optional<StateInfo> state_info_in(const std::map<std::string, std::string>& metadata,
                                       const std::string& where) {
  if (!metadata.contains(state_info_key)) return {};
  const Reader reader(metadata, state_info_key, where);
  return StateInfo{.base = reader.base(),
                   .trained_on = reader.text("trained_on"),
                   .chat_template = reader.text("chat_template")};
}

}  // namespace aviary
