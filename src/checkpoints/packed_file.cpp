#include "checkpoints/packed_file.h"

#include <aviary/version.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "base/threads.h"
#include "formats/safetensors.h"
#include "numbers/encoding.h"

namespace aviary {
namespace {

using Json = nlohmann::json;

constexpr const char* key_entry = "aviary.packed";
constexpr const char* matrices_entry = "aviary.packed_matrices";
constexpr const char* content_entry = "aviary.packed_content";

class Hash {
 public:
  void add(std::span<const std::byte> bytes) { value_ = XXH64(bytes.data(), bytes.size(), value_); }
  template <typename T>
  void add_number(T number) {
    add(std::as_bytes(std::span(&number, 1)));
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0;
};

std::string to_text(const PackedKey& key) {
  return fmt::format("{:016x} {:016x} {}", key.source, key.layout, name_of(kernels::type_of(key.precision)));
}

std::string tensor_name(const std::string& weight, size_t index) {
  return fmt::format("{}#{}", weight, index);
}

Dtype type_named(const std::string& name) {
  for (Dtype type : weight_types)
    if (name == name_of(type)) return type;
  fail("no matrix is packed as {}", in_quotes(name));
}

uint64_t hash_of_source(const TensorFile& source) {
  constexpr size_t sample = 64;
  Hash hash;
  for (const MappedFile& file : source.files()) {
    hash.add_number(file.bytes().size());
    hash.add_number(file.modified());
  }
  for (const TensorEntry& tensor : source.tensors()) {
    const std::span<const std::byte> data = tensor.stored();
    const size_t count = std::min(sample, data.size());
    hash.add(std::as_bytes(std::span(tensor.name)));
    hash.add_number(tensor.dtype);
    hash.add(std::as_bytes(std::span(tensor.shape)));
    hash.add(data.first(count));
    hash.add(data.last(count));
  }
  return hash.value();
}

uint64_t hash_of_layout() {
  constexpr int64_t n = 40;
  Hash hash;
  hash.add(std::as_bytes(std::span(std::string_view(version()))));
  auto add_packed = [&](Dtype stored, Dtype type, int64_t k) {
    std::vector<std::byte> rows(static_cast<size_t>(bytes_of(stored, k * n)));
    for (size_t i = 0; i < rows.size(); ++i)  // positive numbers of moderate size in every type
      rows[i] = static_cast<std::byte>(i * 37 % 59);
    kernels::PackedMatrix matrix;
    matrix.pack_stored(stored, rows.data(), k, n, type);
    hash.add_number(type);
    hash.add(matrix.packed());
  };
  for (Dtype type : weight_types) add_packed(type, type, 256);
  for (Dtype type : {Dtype::f32, Dtype::f16, Dtype::bf16}) add_packed(Dtype::f32, type, 67);
  return hash.value();
}

// 16 hex digits that identify the bytes of these matrices, in this order. All threads read them, in pieces.
std::string hash_of_content(const std::vector<std::span<const std::byte>>& matrices) {
  constexpr size_t most = size_t{4} << 20;
  std::vector<std::span<const std::byte>> pieces;
  for (std::span<const std::byte> rest : matrices)
    for (; !rest.empty(); rest = rest.subspan(pieces.back().size()))
      pieces.push_back(rest.first(std::min(most, rest.size())));
  std::vector<uint64_t> hashes(pieces.size());
  parallel_for(std::ssize(pieces), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      hashes[i] = XXH3_64bits(pieces[i].data(), pieces[i].size());
  });
  return fmt::format("{:016x}", XXH3_64bits(hashes.data(), hashes.size() * sizeof(uint64_t)));
}

// A matrix of a weight of this shape as described in the metadata; throws if the description is invalid.
// Kernels compute with the sizes, so they are checked first.
kernels::PackedMatrix adopted(const Json& matrix, const Shape& shape, const TensorEntry& tensor,
                              std::shared_ptr<const void> owner) {
  const Json &k = matrix.at("k"), &n = matrix.at("n");
  const int64_t rows = shape[shape.rank() - 2], cols = shape[shape.rank() - 1];
  require(k.is_number_integer() && n.is_number_integer(), "no sizes of a matrix");
  require((k == rows && n == cols) || (k == cols && n == rows), "sizes of another matrix");
  kernels::PackedMatrix result;
  result.adopt(k, n, type_named(matrix.at("type")), tensor.data, std::move(owner));
  return result;
}

using Stacks = std::map<std::string, std::vector<kernels::PackedMatrix>>;  // by the names of the weights

// The matrices in the file. Throws if they are not those that write_packed() writes for this model and key.
Stacks read_packed(const std::filesystem::path& path, const PackedKey& key, Model& model) {
  std::vector<MappedFile> files;
  files.emplace_back(path);
  TensorTable table = parse_safetensors(files[0].bytes(), path.string());
  require(table.metadata[key_entry] == to_text(key), "it is of other weights");
  require(table.metadata.contains(content_entry), "it does not say what its numbers were");
  const Json matrices = parse_short_json(table.metadata[matrices_entry], path.string());
  files[0].fetch();
  const auto file = std::make_shared<const TensorFile>(std::move(files), std::move(table));
  Stacks stacks;
  std::vector<std::span<const std::byte>> content;
  for (const Json& matrix : matrices) {
    const std::string name = matrix.at("weight");
    std::vector<kernels::PackedMatrix>& stack = stacks[name];
    const Parameter* parameter = model.parameters().find(name);
    const TensorEntry* tensor = file->find(tensor_name(name, stack.size()));
    require(parameter && layout_of(parameter->spec.use) && tensor, "a matrix that no parameter has");
    stack.push_back(adopted(matrix, parameter->spec.shape, *tensor, file));
    content.push_back(tensor->data);
  }
  for (const auto& [name, stack] : stacks) {
    const Parameter& parameter = *model.parameters().find(name);
    require(parameter.weight.can_adopt(*layout_of(parameter.spec.use), key.precision, stack),
            "matrices that are not packed so");
  }
  require(!stacks.empty(), "it is empty");
  require(file->metadata().at(content_entry) == hash_of_content(content), "its numbers have changed");
  return stacks;
}

}  // namespace

std::filesystem::path packed_path(const std::filesystem::path& model) {
  std::filesystem::path path = std::filesystem::absolute(model).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // "folder/"
  path += ".packed";
  return path;
}

bool is_packed(const TensorFile& file) { return file.metadata().count(key_entry) != 0; }

PackedKey packed_key(const TensorFile& source) {
  return {.source = hash_of_source(source), .layout = hash_of_layout()};
}

bool map_packed(const std::filesystem::path& packed, const PackedKey& key, Model& model) {
  std::error_code ignored;
  if (!std::filesystem::exists(packed, ignored)) return false;
  try {
    Stacks stacks = read_packed(packed, key, model);
    for (auto& [name, stack] : stacks) model.parameters().find(name)->weight.adopt_packed(std::move(stack));
    return true;
  } catch (const Error&) {  // in any case the file is rewritten
    return false;
  } catch (const Json::exception&) {
    return false;
  }
}

void write_packed(const std::filesystem::path& packed, const PackedKey& key, const Model& model,
                  const WriteProgress& progress) {
  std::vector<TensorEntry> tensors;
  std::vector<std::span<const std::byte>> content;
  Json matrices = Json::array();
  for (const Parameter& parameter : model.parameters()) {
    const std::span<const kernels::PackedMatrix> stack = parameter.weight.packed();
    for (size_t i = 0; i < stack.size(); ++i) {
      const kernels::PackedMatrix& matrix = stack[i];
      matrices.push_back({{"weight", parameter.spec.name},
                          {"k", matrix.k()},
                          {"n", matrix.n()},
                          {"type", name_of(matrix.type())}});
      tensors.push_back({.name = tensor_name(parameter.spec.name, i),
                         .dtype = Dtype::u8,
                         .shape = {matrix.bytes()},
                         .data = matrix.packed()});
      content.push_back(matrix.packed());
    }
  }
  write_safetensors(packed, unchanged(tensors),
                    {{key_entry, to_text(key)},
                     {matrices_entry, matrices.dump()},
                     {content_entry, hash_of_content(content)}},
                    progress);
}

}  // namespace aviary
