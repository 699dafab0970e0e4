#include "formats/packed_file.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "formats/safetensors.h"
#include "tensor/encoding.h"
#include "text/json.h"

namespace aviary {
namespace {

using Json = nlohmann::json;

constexpr const char* key_entry = "aviary.packed";
constexpr const char* matrices_entry = "aviary.packed_matrices";

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

using Stacks = std::map<std::string, std::vector<kernels::PackedMatrix>>;  // by the weights' names

// The file's matrices. Throws when they are not what write_packed() writes with this key.
Stacks read_packed(const std::filesystem::path& path, const PackedKey& key) {
  std::vector<MappedFile> files;
  files.emplace_back(path);
  TensorTable table = parse_safetensors(files[0].bytes(), path.string());
  require(table.metadata[key_entry] == to_text(key), "{}: it is of other weights", path.string());
  const Json matrices = parse_json(table.metadata[matrices_entry], path.string());
  files[0].fetch();
  const auto file = std::make_shared<const TensorFile>(std::move(files), std::move(table));
  Stacks stacks;
  for (const Json& matrix : matrices) {
    const std::string weight = matrix.at("weight");
    const TensorEntry* tensor = file->find(tensor_name(weight, stacks[weight].size()));
    require(tensor != nullptr, "{}: a matrix of {} is missing", path.string(), in_quotes(weight));
    stacks[weight].emplace_back().adopt(matrix.at("k"), matrix.at("n"), type_named(matrix.at("type")),
                                        tensor->data, file);
  }
  return stacks;
}

// Throws when the matrices are not those of the weight.
void require_fit(const std::string& name, const std::vector<kernels::PackedMatrix>& stack,
                 const Shape& shape) {
  const int rank = shape.rank();
  require(rank == 2 || (rank == 3 && std::ssize(stack) == shape[0]), "{}: its packed matrices are too few",
          in_quotes(name));
  const int64_t rows = shape[rank - 2], cols = shape[rank - 1];
  for (const kernels::PackedMatrix& matrix : stack)
    require((matrix.k() == cols && matrix.n() == rows) || (matrix.k() == rows && matrix.n() == cols),
            "{}: its packed matrix is [{}, {}]", in_quotes(name), matrix.k(), matrix.n());
}

}  // namespace

std::filesystem::path packed_path(const std::filesystem::path& model_file) {
  std::filesystem::path path = model_file;
  path += ".packed";
  return path;
}

bool is_packed(const TensorFile& file) { return file.metadata().count(key_entry) != 0; }

uint64_t hash_of_source(const std::filesystem::path& path, const TensorFile& source) {
  constexpr size_t sample = 64;
  Hash hash;
  std::error_code ignored;
  hash.add_number(source.file_bytes());
  hash.add_number(std::filesystem::last_write_time(path, ignored).time_since_epoch().count());
  for (const TensorEntry& tensor : source.tensors()) {
    hash.add(std::as_bytes(std::span(tensor.name)));
    hash.add_number(tensor.dtype);
    hash.add(std::as_bytes(std::span(tensor.shape)));
    const std::span<const std::byte> data = tensor.transposed.empty() ? tensor.data : tensor.transposed;
    const size_t count = std::min(sample, data.size());
    hash.add(data.first(count));
    hash.add(data.last(count));
  }
  return hash.value();
}

uint64_t hash_of_layout() {
  constexpr int64_t k = 256, n = 40;
  Hash hash;
  auto add_packed = [&](Dtype stored, Dtype type) {
    std::vector<std::byte> rows(static_cast<size_t>(bytes_of(stored, k * n)));
    for (size_t i = 0; i < rows.size(); ++i)  // positive numbers of moderate size in every type
      rows[i] = static_cast<std::byte>(i * 37 % 59);
    kernels::PackedMatrix matrix;
    matrix.pack_stored(stored, rows.data(), k, n, type);
    hash.add_number(type);
    hash.add(matrix.packed());
  };
  for (Dtype type : weight_types) add_packed(type, type);
  add_packed(Dtype::f32, Dtype::bf16);
  return hash.value();
}

bool map_packed(const std::filesystem::path& packed, const PackedKey& key, Model& model) {
  std::error_code ignored;
  if (!std::filesystem::exists(packed, ignored)) return false;
  try {
    Stacks stacks = read_packed(packed, key);
    for (const auto& [name, stack] : stacks) {
      const Parameter* parameter = model.parameters().find(name);
      require(parameter != nullptr, "the model has no {}", in_quotes(name));
      require_fit(name, stack, parameter->weight.shape());
    }
    for (auto& [name, stack] : stacks) model.parameters().find(name)->weight.adopt_packed(std::move(stack));
    return true;
  } catch (const Error&) {  // then it is made anew
    return false;
  } catch (const Json::exception&) {
    return false;
  }
}

void write_packed(const std::filesystem::path& packed, const PackedKey& key, const Model& model,
                  const WriteProgress& progress) {
  std::vector<TensorEntry> tensors;
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
    }
  }
  write_safetensors(packed, unchanged(tensors),
                    {{key_entry, to_text(key)}, {matrices_entry, matrices.dump()}}, progress);
}

}  // namespace aviary
