#include "checkpoints/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <future>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/quotes.h"
#include "base/threads.h"
#include "checkpoints/packed_file.h"
#include "checkpoints/state_file.h"
#include "formats/safetensors.h"
#include "models/recognize.h"
#include "models/run.h"
#include "numbers/encoding.h"

namespace aviary {
namespace {

using Json = nlohmann::json;

constexpr const char* config_key = "aviary.config";
constexpr const char* tokenizer_key = "aviary.tokenizer";
constexpr const char* vocabulary_key = "aviary.vocabulary";
constexpr const char* hash_key = "aviary.tokenizer_hash";

// What is not known here may change what the model computes.
void require_known_keys(const Json& config, const std::string& where) {
  std::set<std::string_view> known{"version", "recipe", "variant"};
  for (const ConfigNumber& number : config_numbers()) known.insert(number.name);
  for (const ModelOption* option : model_options()) known.insert(option->name);
  for (const auto& [key, value] : config.items())
    require(known.contains(key),
            "{}: it has {}, which this program does not know; the file was written by a newer Aviary, or is "
            "damaged",
            where, in_quotes(key));
}

}  // namespace

ModelConfig model_config_from_json(const std::string& text, const std::string& where) {
  const Json json = parse_short_json(text, where);
  require(json.is_object() && json.value("version", Json()).is_string(), "{}: not a config in JSON", where);
  require_known_keys(json, where);
  ModelConfig config{.version = json["version"]};
  for (const auto& [name, member] :
       {std::pair("recipe", &ModelConfig::recipe), std::pair("variant", &ModelConfig::variant)}) {
    if (!json.contains(name)) continue;
    require(json[name].is_string(), "{}: {} is {}, expected a text", where, name,
            in_quotes(json[name].dump()));
    config.*member = json[name];
  }
  for (auto [name, member] : config_numbers()) {
    if (!json.contains(name)) continue;
    require(json[name].is_number_integer() && json[name] >= 0 && json[name] <= int64_t{1} << 32,
            "{}: {} is {}, expected a size", where, name, in_quotes(json[name].dump()));
    config.*member = json[name];
  }
  for (const ModelOption* option : model_options()) {
    const auto found = json.find(option->name);
    if (found == json.end()) continue;
    if (option->kind == OptionKind::text) {
      require(found->is_string(), "{}: {} is {}, expected a text", where, option->name,
              in_quotes(found->dump()));
      config.set(*option, found->get<std::string>());
    } else {
      require(found->is_number_integer() && *found >= 0 && *found <= option->most,
              "{}: {} is {}, expected a number from 0 to {}", where, option->name, in_quotes(found->dump()),
              option->most);
      config.set(*option, found->get<int64_t>());
    }
  }
  return config;
}

namespace {

std::string to_string(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

// Equal except for axes of size 1, which some tools drop.
bool same_shape(const std::vector<int64_t>& stored, const Shape& wanted) {
  std::vector<int64_t> a, b;
  for (int64_t size : stored)
    if (size != 1) a.push_back(size);
  for (int i = 0; i < wanted.rank(); ++i)
    if (wanted[i] != 1) b.push_back(wanted[i]);
  return a == b;
}

void require_finite(const TensorEntry& entry, const std::string& where) {
  const std::byte* data = entry.stored().data();
  int64_t broken = first_not_finite(entry.dtype, data, count_of(entry));
  if (broken < 0) return;
  const Block block = block_of(entry.dtype);
  std::vector<float> values(static_cast<size_t>(block.elements));
  decode(entry.dtype, data + broken / block.elements * block.bytes, values);
  if (entry.is_transposed()) {  // its position in the order in which the numbers are used
    const int64_t rows = entry.shape[0], cols = entry.shape[1];
    broken = broken % rows * cols + broken / rows;
  }
  fail("{}: {} holds {} at element {}: the model is broken (training diverged, or the file is damaged)",
       where, entry.name, values[0], broken);
}

// Makes the numbers the values of the weight, which can then be changed.
void load_parameter(const TensorEntry& entry, const std::string& where, Parameter& parameter,
                    bool allow_broken) {
  parameter.weight.allocate();
  const Tensor& value = parameter.weight.value();
  if (value.dtype() == Dtype::f32) {
    to_floats(entry, {value.as<float>(), static_cast<size_t>(value.count())});
    if (!allow_broken) require_finite(entry, where);
    const auto beyond =
        entry.dtype == Dtype::f64 && !allow_broken
            ? first_not_finite(Dtype::f32, static_cast<const std::byte*>(value.data()), value.count())
            : -1;
    require(beyond < 0, "{}: {} holds a number at element {} that float32 cannot hold", where, entry.name,
            beyond);
  } else {
    from_host(to_doubles(entry), value);
  }
}

std::unique_ptr<Model> create_model_of(const std::string& where, const ModelConfig& config, Dtype dtype) {
  try {
    return create_model_without_numbers(config, dtype);
  } catch (const Error& error) {
    fail("{}: {}", where, error.what());
  }
}

}  // namespace

ShapeMap shapes_of(const TensorFile& file) {
  ShapeMap shapes;
  for (const TensorEntry& tensor : file.tensors()) {
    if (tensor.shape.size() > Shape::max_rank) continue;
    Shape shape;
    for (int64_t size : tensor.shape) shape.append(size);
    shapes.emplace_back(tensor.name, shape);
  }
  return shapes;
}

TokenizerPtr tokenizer_of(const TensorFile& file, const std::string& where, const ModelConfig& config) {
  const auto& metadata = file.metadata();
  auto kind = metadata.find(tokenizer_key);
  if (kind == metadata.end()) return nullptr;
  auto vocabulary = metadata.find(vocabulary_key);
  TokenizerPtr tokenizer =
      make_tokenizer(kind->second, vocabulary == metadata.end() ? std::string_view() : vocabulary->second);
  if (auto expected = metadata.find(hash_key); expected != metadata.end()) {
    const std::string hash = tokenizer->hash_text();
    require(hash == expected->second,
            "{}: the vocabulary in the file is damaged: its hash is {}, expected {}", where, hash,
            expected->second);
  }
  require(tokenizer->vocab_size() <= config.vocab_size,
          "{}: the tokenizer has {} tokens, but the model only {} (another tokenizer was used to train it)",
          where, tokenizer->vocab_size(), config.vocab_size);
  return tokenizer;
}

std::optional<int32_t> begin_token_of(const std::map<std::string, std::string>& metadata,
                                      const Tokenizer& tokenizer, const std::string& where) {
  bool begins = is_published_world(tokenizer);
  if (auto said = metadata.find("tokenizer.ggml.add_bos_token"); said != metadata.end())
    begins = said->second == "true";
  if (auto said = metadata.find(begin_token_key); said != metadata.end()) {
    begins = said->second == begin_with_end_of_text;
    require(begins || said->second == begin_with_nothing, "{}: {} is \"{}\", expected {} or {}", where,
            begin_token_key, excerpt(said->second), begin_with_end_of_text, begin_with_nothing);
  }
  return begins ? tokenizer.end_of_text() : std::nullopt;
}

std::string known_tokenizer_hash(const std::map<std::string, std::string>& metadata, const Tokenizer* own) {
  if (auto found = metadata.find(hash_key); found != metadata.end()) return found->second;
  return own ? own->hash_text() : "";
}

std::string to_json(const ModelConfig& config) {
  Json json{{"version", config.version}, {"recipe", config.recipe}};
  if (!config.variant.empty()) json["variant"] = config.variant;
  for (auto [name, member] : config_numbers())
    if (config.*member != 0) json[name] = config.*member;
  for (const auto& [name, value] : config.options)
    std::visit([&, &key = name](const auto& is) { json[key] = is; }, value);
  return json.dump();
}

ModelConfig config_of(const TensorFile& file, const std::string& where) {
  auto stored = file.metadata().find(config_key);
  if (stored != file.metadata().end())
    return model_config_from_json(stored->second, fmt::format("{}, metadata entry {}", where, config_key));
  require(!is_packed(file),
          "{}: these are the packed weights of a model; name the model itself, with --cache", where);
  if (const std::optional<StateSizes> state = recognize_state(file))
    fail("{}: this is {}, not a model; name the model, and this file with --state", where, describe(*state));
  require(!holds_adapter(file) || recognize(shapes_of(file)),
          "{}: this is an adapter, not a model; name the model that it was trained on, and this file with "
          "--adapter",
          where);
  return recognize_version(shapes_of(file), where);
}

namespace {

// Checks that every parameter exists with its shape, and no other tensors.
void check_tensors(const TensorFile& file, const std::string& where, Model& model) {
  const ModelVersion& version = model_version(model.config().version);
  const char* title = version.title;
  for (const Parameter& parameter : model.parameters()) {
    const TensorEntry* entry = file.find(parameter.spec.name);
    if (!entry && parameter.spec.optional) continue;
    require(entry != nullptr, "{}: this is an {} with the tensor {} missing", where, title,
            parameter.spec.name);
    require(same_shape(entry->shape, parameter.spec.shape), "{}: {} has shape {}, expected {}", where,
            entry->name, to_string(entry->shape), to_string(parameter.spec.shape));
  }
  for (const TensorEntry& tensor : file.tensors())
    require(model.parameters().find(tensor.name) != nullptr || version.is_buffer(tensor.name),
            "{}: the tensor {} is not part of an {}: a variant that is not supported", where, tensor.name,
            title);
}

// prepare_model() for a known config.
std::unique_ptr<Model> model_of(const TensorFile& file, const std::string& where, const ModelConfig& config,
                                Dtype dtype) {
  // A file cannot cause more memory to be allocated than its own tensors have numbers.
  int64_t numbers = 0;
  for (const TensorEntry& tensor : file.tensors()) numbers += count_of(tensor);
  const int64_t width = std::max<int64_t>(config.n_embd, 1);
  auto require_room = [&](int64_t rows) {
    require(rows <= numbers / width,
            "{}: the config asks for a matrix of {} x {}, but the file holds only {} numbers", where, rows,
            config.n_embd, numbers);
  };
  for (int64_t rows : {config.vocab_size, config.n_layer, config.dim_att, config.dim_ffn, config.rank_decay,
                       config.rank_a, config.rank_v, config.rank_gate, config.rank_mix})
    require_room(rows);
  for (const ModelOption* option : model_options())
    if (option->kind == OptionKind::width) require_room(config.number(*option));
  std::unique_ptr<Model> model = create_model_of(where, config, dtype);
  check_tensors(file, where, *model);
  return model;
}

}  // namespace

std::unique_ptr<Model> prepare_model(const TensorFile& file, const std::string& where, Dtype dtype) {
  return model_of(file, where, config_of(file, where), dtype);
}

void load_parameters(const TensorFile& file, const std::string& where, Model& model, bool allow_broken) {
  check_tensors(file, where, model);
  for (Parameter& parameter : model.parameters())
    if (const TensorEntry* entry = file.find(parameter.spec.name))
      load_parameter(*entry, where, parameter, allow_broken);
  model.parameters().allocate();  // optional and missing in the file
  model.parameters().changed();
}

Parameter& replaced_parameter(const std::string& where, const TensorEntry& tensor, Model& model) {
  Parameter* parameter = model.parameters().find(tensor.name);
  require(parameter != nullptr, "{}: it changes {}, which this {} does not have", where,
          in_quotes(tensor.name), model_version(model.config().version).title);
  require(same_shape(tensor.shape, parameter->spec.shape), "{}: {} has shape {}, expected {}", where,
          in_quotes(tensor.name), to_string(tensor.shape), to_string(parameter->spec.shape));
  return *parameter;
}

AdapterFile apply_adapter(const AdapterRequest& request, const TensorFile& base,
                          const std::filesystem::path& path, Model& model) {
  AdapterFile adapter = read_adapter(request.path);
  if (adapter.info) require_base(adapter.info->base, adapter.where, base, path, request.any_base);
  for (const TensorEntry& tensor : adapter.whole) {
    Parameter& parameter = replaced_parameter(adapter.where, tensor, model);
    if (parameter.weight.is_stored()) parameter.weight.decode_values();
    load_parameter(tensor, adapter.where, parameter, false);
    parameter.weight.changed();
  }
  add_adapter(adapter, request, model);
  return adapter;
}

Checkpoint load_checkpoint(const std::filesystem::path& path, Dtype dtype, bool allow_broken) {
  const TensorFile file = read_tensor_file(path);
  const std::string where = path.string();
  Checkpoint checkpoint;
  checkpoint.model = prepare_model(file, where, dtype);
  load_parameters(file, where, *checkpoint.model, allow_broken);
  checkpoint.tokenizer = tokenizer_of(file, where, checkpoint.model->config());
  checkpoint.metadata = file.metadata();
  checkpoint.notes = file.notes();
  return checkpoint;
}

namespace {

bool can_be_stored(Dtype type) { return std::ranges::find(weight_types, type) != std::end(weight_types); }

// Sets the parameters from the file: matrices and tables are used in place in the mapped file, or take over
// memory allocated when the file was opened; vectors are decoded.
void take_numbers(const std::shared_ptr<TensorFile>& file, const std::string& where, Model& model) {
  for (Parameter& parameter : model.parameters()) {
    const TensorEntry* entry = file->find(parameter.spec.name);
    if (!entry) continue;
    Weight& weight = parameter.weight;
    if (!can_be_stored(entry->dtype)) {
      load_parameter(*entry, where, parameter, false);
      continue;
    }
    if (file->made(*entry) && entry->dtype == Dtype::f32) {
      require_finite(*entry, where);
      weight.adopt(file->take(*entry));  // freed after packing
      continue;
    }
    weight.store({entry->dtype, entry->stored(), file, entry->is_transposed()});
    if (parameter.spec.use == Use::vector || (parameter.spec.use == Use::table && entry->is_transposed()))
      require_finite(*entry, where), weight.decode_values();
  }
}

void write_cache(const std::filesystem::path& path, const PackedKey& key, const Model& model,
                 const PackedCache& cache) {
  try {
    write_packed(packed_path(path), key, model, cache.progress);
    namespace fs = std::filesystem;  // readable by the same users as the model
    std::error_code ignored;
    fs::permissions(packed_path(path), fs::status(path).permissions() & fs::perms{0666}, ignored);
  } catch (const Error& error) {  // the model can be used nevertheless
    if (cache.not_written) cache.not_written(error.what());
  }
}

}  // namespace

namespace {

void add_adapters(std::span<const AdapterRequest> requests, const TensorFile& file,
                  const std::filesystem::path& path, bool cached, Checkpoint& checkpoint) {
  Model& model = *checkpoint.model;
  require_distinct(requests);
  for (const AdapterRequest& request : requests) {
    const AdapterFile adapter = apply_adapter(request, file, path, model);
    for (const std::string& note : adapter.table.notes)
      checkpoint.notes.push_back(adapter.where + ": " + note);
    for (const TensorEntry& entry : adapter.whole)
      require(!cached || model.parameters().find(entry.name)->spec.use == Use::vector,
              "{}: it replaces the matrix {}, which a cache of the model without it would hide; leave out "
              "--cache",
              adapter.where, in_quotes(entry.name));
  }
}

}  // namespace

Checkpoint open_checkpoint(const std::filesystem::path& path, std::optional<kernels::Precision> precision,
                           const std::optional<PackedCache>& cache,
                           std::span<const AdapterRequest> adapters) {
  const auto file = std::make_shared<TensorFile>(read_tensor_file(path, Transposed::in_place));
  const std::string where = path.string();
  const ModelConfig config = config_of(*file, where);
  // It takes as long as mapping a gigabyte. Where the system starts no thread, it is done when it is needed.
  auto tokenizer =
      std::async(threads() > 1 ? std::launch::async | std::launch::deferred : std::launch::deferred,
                 [&] { return tokenizer_of(*file, where, config); });
  Checkpoint checkpoint;
  checkpoint.model = model_of(*file, where, config, Dtype::f32);
  checkpoint.metadata = file->metadata();
  checkpoint.notes = file->notes();
  Model& model = *checkpoint.model;
  PackedKey key;
  if (cache) key = packed_key(*file);  // before anything is used from the file
  take_numbers(file, where, model);
  add_adapters(adapters, *file, path, cache.has_value(), checkpoint);
  key.precision = precision.value_or(usual_precision(model));
  const bool mapped = cache && map_packed(packed_path(path), key, model);
  auto check = [&](const Parameter& parameter) {
    if (!mapped && parameter.weight.is_stored()) require_finite(*file->find(parameter.spec.name), where);
  };
  model.parameters().pack(key.precision, check, [&](std::span<const std::byte> bytes) { file->drop(bytes); });
  checkpoint.tokenizer = tokenizer.get();
  if (cache && !mapped) write_cache(path, key, model, *cache);
  return checkpoint;
}

std::map<std::string, std::string> metadata_of(const ModelConfig& config, const Tokenizer* tokenizer) {
  std::map<std::string, std::string> metadata{{config_key, to_json(config)}};
  if (!tokenizer) return metadata;
  metadata[tokenizer_key] = tokenizer->kind();
  metadata[hash_key] = tokenizer->hash_text();
  if (std::string vocabulary = tokenizer->serialize(); !vocabulary.empty())
    metadata[vocabulary_key] = std::move(vocabulary);
  return metadata;
}

void keep_metadata(const std::map<std::string, std::string>& from, std::map<std::string, std::string>& to) {
  for (const char* kept :
       {"aviary.step", begin_token_key, "tokenizer.ggml.add_bos_token", "tokenizer.chat_template"})
    if (const auto found = from.find(kept); found != from.end()) to.insert(*found);
}

void save_checkpoint(const std::filesystem::path& path, const Model& model, const Tokenizer* tokenizer,
                     const std::map<std::string, std::string>& metadata) {
  std::map<std::string, std::string> all = metadata_of(model.config(), tokenizer);
  all.insert(metadata.begin(), metadata.end());
  std::vector<TensorEntry> entries;
  for (const Parameter& parameter : model.parameters()) {
    const Tensor& value = parameter.weight.value();
    require(!value.empty(), "{}: {} is stored or packed for use and cannot be saved", path.string(),
            parameter.spec.name);
    TensorEntry entry{.name = parameter.spec.name, .dtype = value.dtype(), .shape = {}, .data = {}};
    for (int i = 0; i < value.shape().rank(); ++i) entry.shape.push_back(value.shape()[i]);
    entry.data = {static_cast<const std::byte*>(value.data()), static_cast<size_t>(value.bytes())};
    entries.push_back(std::move(entry));
  }
  write_safetensors(path, unchanged(entries), all);
}

}  // namespace aviary
