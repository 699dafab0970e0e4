#include "states/snapshot_file.h"

#define XXH_INLINE_ALL
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "base/quotes.h"
#include "formats/safetensors.h"

namespace aviary {
namespace {

using Json = nlohmann::json;

constexpr const char* snapshot_key = "aviary.snapshot";
constexpr int64_t format_number = 1;

TensorEntry tensor_of(std::string name, Dtype dtype, std::vector<int64_t> shape,
                      std::span<const std::byte> data) {
  TensorEntry tensor;
  tensor.name = std::move(name);
  tensor.dtype = dtype;
  tensor.shape = std::move(shape);
  tensor.data = data;
  return tensor;
}

template <typename T>
std::span<const std::byte> bytes_of_numbers(const std::vector<T>& numbers) {
  return std::as_bytes(std::span(numbers));
}

// The rows of a part that are in use: of a history as many as tokens were read.
std::vector<int64_t> used_shape(const State& state, size_t part) {
  const Tensor tensor = state[part];
  std::vector<int64_t> shape;
  for (int axis = 0; axis < tensor.shape().rank(); ++axis) shape.push_back(tensor.shape()[axis]);
  if (state.layout().specs()[part].is_history()) shape[0] = std::min(shape[0], state.position());
  return shape;
}

int64_t bytes_of_shape(const std::vector<int64_t>& shape, Dtype dtype) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count * size_of(dtype);
}

// Of names, shapes and numbers, in the order of their names.
std::string checksum(std::vector<TensorEntry> tensors) {
  std::ranges::sort(tensors, {}, &TensorEntry::name);
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (const TensorEntry& tensor : tensors) {
    const std::string head = fmt::format("{} {}\n", tensor.name, fmt::join(tensor.shape, "x"));
    XXH3_64bits_update(&state, head.data(), head.size());
    XXH3_64bits_update(&state, tensor.data.data(), tensor.data.size());
  }
  return fmt::format("{:016x}", XXH3_64bits_digest(&state));
}

std::vector<int32_t> tokens_in(const TensorFile& file, const std::string& where, const char* name) {
  const TensorEntry* tensor = file.find(name);
  require(tensor != nullptr && tensor->dtype == Dtype::i32 && tensor->shape.size() == 1,
          "{}: {} is missing or no list of tokens; the file is damaged", where, name);
  std::vector<int32_t> tokens(tensor->data.size() / sizeof(int32_t));
  if (!tokens.empty()) std::memcpy(tokens.data(), tensor->data.data(), tensor->data.size());
  return tokens;
}

Json metadata_of(const TensorFile& file, const std::string& where) {
  const auto entry = file.metadata().find(snapshot_key);
  require(entry != file.metadata().end(), "{}: is no state that was kept by aviary state or aviary serve",
          where);
  const std::string place = fmt::format("{}: {}", where, snapshot_key);
  Json json = parse_json(entry->second, place);
  require(json.is_object() && json.value("format", Json()).is_number_integer(), "{} is damaged", place);
  require(json["format"] == format_number, "{} has format {}, expected {}; it was written by a newer Aviary",
          place, json["format"].dump(), format_number);
  return json;
}

std::string text_in(const Json& json, const char* name, const std::string& where) {
  const Json value = json.value(name, Json(""));
  require(value.is_string(), "{}: {} is {}, expected a text", where, name, in_quotes(value.dump()));
  return value.get<std::string>();
}

}  // namespace

void require_same_maker(const SnapshotMaker& said, const SnapshotMaker& maker, const std::string& where) {
  require(
      said.base.hash == maker.base.hash,
      "{}: the state was made with {}, but the model is {}, with other numbers, for which it means nothing",
      where, in_quotes(said.base.name), in_quotes(maker.base.name));
  require(said.adapters == maker.adapters,
          "{}: the state was made with other adapters or another tuned state (--adapter, --state)", where);
  require(said.precision == maker.precision,
          "{}: the state was made with products in {}, this model runs with {}; choose with --precision",
          where, said.precision, maker.precision);
}

void write_snapshot(const std::filesystem::path& path, const StoredSnapshot& stored) {
  const State& state = stored.snapshot.state;
  std::vector<TensorEntry> tensors;
  for (size_t part = 0; part < state.size(); ++part) {
    std::vector<int64_t> shape = used_shape(state, part);
    const auto size = static_cast<size_t>(bytes_of_shape(shape, state.layout().dtype()));
    const std::span<const std::byte> data(static_cast<const std::byte*>(state[part].data()), size);
    tensors.push_back(
        tensor_of(state.layout().specs()[part].name, state.layout().dtype(), std::move(shape), data));
  }
  const std::vector<float>& logits = stored.snapshot.logits;
  if (!logits.empty())
    tensors.push_back(tensor_of("logits", Dtype::f32, {std::ssize(logits)}, bytes_of_numbers(logits)));
  tensors.push_back(
      tensor_of("tokens", Dtype::i32, {std::ssize(stored.tokens)}, bytes_of_numbers(stored.tokens)));
  tensors.push_back(
      tensor_of("pending", Dtype::i32, {std::ssize(stored.pending)}, bytes_of_numbers(stored.pending)));
  const Json json{{"format", format_number},
                  {"position", state.position()},
                  {"base_hash", stored.maker.base.hash},
                  {"base_type", stored.maker.base.type},
                  {"base_name", stored.maker.base.name},
                  {"base_version", stored.maker.base.version},
                  {"adapters", stored.maker.adapters},
                  {"precision", stored.maker.precision},
                  {"name", stored.name},
                  {"space", stored.space},
                  {"checksum", checksum(tensors)}};
  write_safetensors(path, unchanged(tensors),
                    {{snapshot_key, json.dump(-1, ' ', false, Json::error_handler_t::replace)}});
}

void copy_snapshot(const TensorFile& file, const std::string& where, const std::filesystem::path& to) {
  Json json = metadata_of(file, where);
  json["space"] = "";
  write_safetensors(to, unchanged(file.tensors()),
                    {{snapshot_key, json.dump(-1, ' ', false, Json::error_handler_t::replace)}});
}

TensorFile open_snapshot(const std::filesystem::path& path) {
  std::vector<MappedFile> files;
  files.emplace_back(path);
  require(looks_like_safetensors(files[0].bytes()),
          "{}: is no state that was kept by aviary state or aviary serve", path.string());
  TensorTable table = parse_safetensors(files[0].bytes(), path.string());
  return {std::move(files), std::move(table)};
}

bool is_snapshot(const TensorFile& file) { return file.metadata().contains(snapshot_key); }

StoredSnapshot read_snapshot_info(const TensorFile& file, const std::string& where) {
  const Json json = metadata_of(file, where);
  StoredSnapshot stored;
  stored.maker.base = {.hash = text_in(json, "base_hash", where),
                       .type = text_in(json, "base_type", where),
                       .name = text_in(json, "base_name", where),
                       .version = text_in(json, "base_version", where)};
  stored.maker.adapters = text_in(json, "adapters", where);
  stored.maker.precision = text_in(json, "precision", where);
  stored.name = text_in(json, "name", where);
  stored.space = text_in(json, "space", where);
  stored.tokens = tokens_in(file, where, "tokens");
  stored.pending = tokens_in(file, where, "pending");
  return stored;
}

StoredSnapshot read_snapshot(const TensorFile& file, const std::string& where,
                             const std::shared_ptr<const StateLayout>& layout, const SnapshotMaker& maker) {
  StoredSnapshot stored = read_snapshot_info(file, where);
  require_same_maker(stored.maker, maker, where);
  const Json json = metadata_of(file, where);
  require(text_in(json, "checksum", where) == checksum(file.tensors()),
          "{}: its numbers are not those that were written; the file is damaged", where);
  const Json position = json.value("position", Json());
  require(position.is_number_integer() && position >= 0, "{}: position is {}, expected a number of tokens",
          where, in_quotes(position.dump()));
  State& state = stored.snapshot.state;
  state = State(layout);
  // A history must have the rows that it claims, so the file bounds the memory.
  for (size_t part = 0; part < state.size(); ++part)
    if (const TensorEntry* tensor = file.find(layout->specs()[part].name);
        tensor && layout->specs()[part].is_history())
      state.reserve(tensor->shape.empty() ? 0 : tensor->shape[0]);
  state.set_position(position.get<int64_t>());
  for (size_t part = 0; part < state.size(); ++part) {
    const std::string& name = layout->specs()[part].name;
    const TensorEntry* tensor = file.find(name);
    require(tensor && tensor->dtype == layout->dtype() && tensor->shape == used_shape(state, part),
            "{}: {} is missing or of another size; the state is of another model, or the file is damaged",
            where, in_quotes(name));
    if (!tensor->data.empty()) std::memcpy(state[part].data(), tensor->data.data(), tensor->data.size());
  }
  if (const TensorEntry* logits = file.find("logits")) {
    stored.snapshot.logits.resize(static_cast<size_t>(count_of(*logits)));
    to_floats(*logits, stored.snapshot.logits);
  }
  return stored;
}

}  // namespace aviary
