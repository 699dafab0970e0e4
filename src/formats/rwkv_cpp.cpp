#include "formats/rwkv_cpp.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <unordered_set>

#include "formats/format.h"

namespace aviary {
namespace {

constexpr uint32_t magic = 0x67676d66, oldest = 100, newest = 101;
constexpr uint32_t max_dimensions = 3;

struct StoredType {
  uint32_t number;
  std::string_view name;
  std::optional<Dtype> dtype;  // none: not supported
};
// The type numbers of rwkv.cpp differ from those of ggml.
constexpr StoredType types[] = {
    {0, "FP32", Dtype::f32},  {1, "FP16", Dtype::f16},   {2, "Q4_0", Dtype::q4_0},  {3, "Q4_1", Dtype::q4_1},
    {4, "Q4_1_O", {}},        {5, "Q4_2", {}},           {6, "Q4_3", {}},           {7, "Q5_0", Dtype::q5_0},
    {8, "Q5_1", Dtype::q5_1}, {9, "Q8_0", Dtype::q8_0},  {10, "Q8_1", {}},          {11, "Q2_K", {}},
    {12, "Q3_K", {}},         {13, "Q4_K", Dtype::q4_k}, {14, "Q5_K", Dtype::q5_k}, {15, "Q6_K", Dtype::q6_k},
    {16, "Q8_K", {}}};

struct Header {
  uint32_t version, n_vocab, n_embed, n_layer;
};

// `what` is "the file" or "tensor 'name'".
Dtype dtype_of(uint32_t number, uint32_t version, const std::string& where, const std::string& what) {
  auto type = std::find_if(std::begin(types), std::end(types),
                           [&](const StoredType& row) { return row.number == number; });
  require(
      type != std::end(types),
      "{}: {} is of type {}, which rwkv.cpp does not have; the file is damaged, or newer than this program",
      where, what, number);
  require(type->dtype.has_value(),
          "{}: {} is of type {}, which is not read; read are FP32, FP16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, "
          "Q5_K and Q6_K; convert the original .pth or the FP16 file instead",
          where, what, type->name);
  require(
      version > oldest || !is_quantized(*type->dtype),
      "{}: {} is of type {} in a file of version {}, whose blocks have a layout that was given up in 2023; "
      "convert the original .pth or the FP16 file instead",
      where, what, type->name, version);
  return *type->dtype;
}

Header read_header(ByteReader& reader, const std::string& where) {
  reader.read<uint32_t>();  // the magic number
  const uint32_t version = reader.read<uint32_t>();
  require(version >= oldest && version <= newest,
          "{}: a file of rwkv.cpp of version {}, expected {} or {}; the file is damaged, or newer than this "
          "program",
          where, version, oldest, newest);
  Header header{.version = version,
                .n_vocab = reader.read<uint32_t>(),
                .n_embed = reader.read<uint32_t>(),
                .n_layer = reader.read<uint32_t>()};
  dtype_of(reader.read<uint32_t>(), version, where, "the file");
  return header;
}

TensorEntry read_tensor(ByteReader& reader, const Header& header, const std::string& where) {
  const uint32_t rank = reader.read<uint32_t>(), name_size = reader.read<uint32_t>(),
                 type = reader.read<uint32_t>();
  require(rank >= 1 && rank <= max_dimensions,
          "{}: the tensor before byte {} has {} dimensions, expected 1 to {}; the file is damaged", where,
          reader.position(), rank, max_dimensions);
  TensorEntry tensor;
  for (uint32_t i = 0; i < rank; ++i) tensor.shape.push_back(reader.read<uint32_t>());
  std::reverse(tensor.shape.begin(), tensor.shape.end());  // the file has the fastest dimension first
  tensor.name = as_text(reader.take(name_size));
  require(!tensor.name.empty(), "{}: the tensor before byte {} has no name; the file is damaged", where,
          reader.position());
  require(std::find(tensor.shape.begin(), tensor.shape.end(), 0) == tensor.shape.end(),
          "{}: tensor {} has the shape [{}], expected sizes of at least 1", where, in_quotes(tensor.name),
          fmt::join(tensor.shape, ", "));
  tensor.dtype = dtype_of(type, header.version, where, "tensor " + in_quotes(tensor.name));
  tensor.data = reader.take(static_cast<uint64_t>(expected_bytes(tensor, where)));
  return tensor;
}

// The number i of "blocks.<i>."; -1 for other names.
int64_t block_of_name(std::string_view name) {
  constexpr std::string_view prefix = "blocks.";
  int64_t index = -1;
  if (name.starts_with(prefix))
    std::from_chars(name.data() + prefix.size(), name.data() + name.size(), index);
  return index;
}

// Only the sizes in the header show that tensors are missing at the end.
void check_sizes(const Header& header, const std::vector<TensorEntry>& tensors, const std::string& where) {
  int64_t blocks = 0;
  const TensorEntry* emb = nullptr;
  for (const TensorEntry& tensor : tensors) {
    blocks = std::max(blocks, block_of_name(tensor.name) + 1);
    if (tensor.name == "emb.weight") emb = &tensor;
  }
  require(emb != nullptr && emb->shape == std::vector<int64_t>{header.n_vocab, header.n_embed},
          "{}: the header says {} tokens and width {}, but emb.weight {}", where, header.n_vocab,
          header.n_embed,
          emb ? fmt::format("has the shape [{}]", fmt::join(emb->shape, ", ")) : "is missing");
  require(blocks == header.n_layer,
          "{}: the header says {} layers, but the tensors are of {}; the file is damaged or cut short", where,
          header.n_layer, blocks);
}

}  // namespace

bool looks_like_rwkv_cpp(Bytes bytes) {
  return bytes.size() >= sizeof magic && std::memcmp(bytes.data(), &magic, sizeof magic) == 0;
}

TensorTable parse_rwkv_cpp(Bytes bytes, const std::string& where) {
  ByteReader reader(bytes, where);
  const Header header = read_header(reader, where);
  TensorTable table{.format = "rwkv.cpp", .dialect = {}, .tensors = {}, .metadata = {}, .buffers = {}};
  while (reader.left() > 0) table.tensors.push_back(read_tensor(reader, header, where));
  std::unordered_set<std::string_view> names;
  for (const TensorEntry& tensor : table.tensors)
    require(names.insert(tensor.name).second, "{}: two tensors are named {}", where, in_quotes(tensor.name));
  check_sizes(header, table.tensors, where);
  return table;
}

const FileFormat rwkv_cpp_format{
    .name = "rwkv.cpp", .files = ".bin of rwkv.cpp", .probe = looks_like_rwkv_cpp, .read = parse_rwkv_cpp};

}  // namespace aviary
