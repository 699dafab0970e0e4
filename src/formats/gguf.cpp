#include "formats/gguf.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <unordered_set>
#include <utility>

#include "formats/format.h"
#include "formats/gguf_format.h"
#include "formats/gguf_vocabulary.h"

namespace aviary {
namespace {

using gguf::ValueType;

constexpr int deepest_array = 4;
constexpr uint64_t longest_key = 65535;

class GgufReader {
 public:
  GgufReader(Bytes bytes, const std::string& where) : bytes_(bytes), where_(where), reader_(bytes, where) {}

  TensorTable read() {
    read_version();
    const uint64_t tensors = reader_.read<uint64_t>(), values = reader_.read<uint64_t>();
    // The smallest possible size in bytes of each.
    require_room(values, 13, "keys");
    for (uint64_t i = 0; i < values; ++i) read_key();
    read_vocabulary();
    note_arrays();
    require_room(tensors, 24, "tensors");
    table_.tensors.reserve(static_cast<size_t>(tensors));
    for (uint64_t i = 0; i < tensors; ++i) read_tensor();
    place_data();
    table_.format = "gguf";
    return std::move(table_);
  }

 private:
  void read_version() {
    reader_.take(gguf::magic.size());
    const uint32_t version = reader_.read<uint32_t>();
    require((version & 0xffff) != 0 || version == 0,
            "{}: the GGUF file is big-endian, which is not supported; convert it to little-endian "
            "(gguf_convert_endian of llama.cpp does)",
            where_);
    require(version == 2 || version == 3,
            "{}: the GGUF file is of version {}, expected 2 or 3; write it again with a newer llama.cpp",
            where_, version);
  }

  void require_room(uint64_t count, uint64_t least_bytes, std::string_view what) {
    require(count <= reader_.left() / least_bytes,
            "{}: the file says that {} {} follow byte {}, but it has only {} more bytes; it is damaged or "
            "cut short",
            where_, count, what, reader_.position(), reader_.left());
  }

  std::string_view text() { return as_text(reader_.take(reader_.read<uint64_t>())); }

  void read_key() {
    const std::string_view key = text();
    require(key.size() <= longest_key, "{}: a key has {} bytes, expected at most {}", where_, key.size(),
            longest_key);
    require(keys_.insert(key).second, "{}: the key {} appears twice", where_, in_quotes(key));
    const ValueType type{reader_.read<uint32_t>()};
    if (type == ValueType::array) {
      read_array(key, 1);
      arrays_.push_back(key);
    } else {
      table_.metadata.emplace(key, scalar(type, key));
    }
  }

  template <typename T>
  std::string number() {
    return fmt::format("{}", reader_.read<T>());
  }

  std::string scalar(ValueType type, std::string_view key) {
    switch (type) {
      case ValueType::u8:
        return number<uint8_t>();
      case ValueType::i8:
        return number<int8_t>();
      case ValueType::u16:
        return number<uint16_t>();
      case ValueType::i16:
        return number<int16_t>();
      case ValueType::u32:
        return number<uint32_t>();
      case ValueType::i32:
        return number<int32_t>();
      case ValueType::f32:
        return number<float>();
      case ValueType::u64:
        return number<uint64_t>();
      case ValueType::i64:
        return number<int64_t>();
      case ValueType::f64:
        return number<double>();
      case ValueType::boolean:
        return reader_.read<uint8_t>() != 0 ? "true" : "false";
      case ValueType::string:
        return std::string(text());
      default:
        fail_of_type(type, key);
    }
  }

  [[noreturn]] void fail_of_type(ValueType type, std::string_view key) {
    fail("{}: the value of {} is of type {}, expected 0 to 12; the file is damaged", where_, in_quotes(key),
         static_cast<uint32_t>(type));
  }

  // Bytes of a value; 0 for those whose size is not fixed.
  uint64_t size_of_value(ValueType type, std::string_view key) {
    constexpr uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (static_cast<size_t>(type) >= std::size(sizes)) fail_of_type(type, key);
    return sizes[static_cast<size_t>(type)];
  }

  // Keeps the tokens of a vocabulary and their types, and skips everything else.
  void read_array(std::string_view key, int depth) {
    require(depth <= deepest_array, "{}: the value of {} is an array in an array more than {} deep", where_,
            in_quotes(key), deepest_array);
    const ValueType type{reader_.read<uint32_t>()};
    const uint64_t count = reader_.read<uint64_t>();
    const uint64_t size = size_of_value(type, key);
    require_room(count, size ? size : type == ValueType::array ? 12 : 8, "values of an array");
    if (size) {
      const Bytes values = reader_.take(count * size);
      if (key == "tokenizer.ggml.token_type" && (type == ValueType::i32 || type == ValueType::u32))
        token_types_ = values;
      return;
    }
    const bool keep = key == "tokenizer.ggml.tokens" && depth == 1 && type == ValueType::string;
    if (keep) tokens_.reserve(static_cast<size_t>(count));
    for (uint64_t i = 0; i < count; ++i) {
      if (type == ValueType::array)
        read_array(key, depth + 1);
      else if (keep)
        tokens_.push_back(text());
      else
        text();
    }
  }

  const std::string& value(const char* key) const {
    static const std::string none;
    auto found = table_.metadata.find(key);
    return found == table_.metadata.end() ? none : found->second;
  }

  void read_vocabulary() {
    if (value("tokenizer.ggml.model") != "rwkv" || tokens_.empty()) return;
    gguf::Vocabulary vocabulary = gguf::vocabulary_of(tokens_, token_types_, where_);
    if (vocabulary.kind.empty()) return;
    table_.metadata["aviary.tokenizer"] = vocabulary.kind;
    const std::string& end = value("tokenizer.ggml.eos_token_id");
    if (vocabulary.kind == "world" && !end.empty() && end != "0")
      table_.notes.push_back(fmt::format(
          "the file says that token {} ends a text; this program ends it at token 0, as all World models do",
          in_quotes(end)));
    if (!vocabulary.lines.empty()) table_.metadata["aviary.vocabulary"] = std::move(vocabulary.lines);
  }

  // Arrays of the architecture are numbers for each layer. Those that llama.cpp has for RWKV are sizes that
  // the tensors show.
  void note_arrays() {
    const std::string prefix = value("general.architecture") + ".";
    for (const std::string_view key : arrays_) {
      const std::string_view name = key.substr(std::min(prefix.size(), key.size()));
      if (key.starts_with(prefix) && name != "feed_forward_length" &&
          !name.starts_with("attention.head_count"))
        table_.notes.push_back(fmt::format(
            "the file has the key {}, an array, which this program does not know and leaves out of account",
            in_quotes(key)));
    }
  }

  void read_tensor() {
    TensorEntry tensor{.name = std::string(text()), .dtype = {}, .shape = {}, .data = {}};
    const uint32_t rank = reader_.read<uint32_t>();
    require(rank <= gguf::max_rank, "{}: tensor {} has {} dimensions, expected at most {}", where_,
            in_quotes(tensor.name), rank, gguf::max_rank);
    tensor.shape.resize(rank);
    for (size_t i = rank; i-- > 0;) {  // the file has them fastest first
      const uint64_t size = reader_.read<uint64_t>();
      require(size <= INT64_MAX, "{}: tensor {} has a dimension of {}, which is impossible", where_,
              in_quotes(tensor.name), size);
      tensor.shape[i] = static_cast<int64_t>(size);
    }
    tensor.dtype = tensor_type(tensor.name);
    offsets_.push_back(reader_.read<uint64_t>());
    table_.tensors.push_back(std::move(tensor));
  }

  Dtype tensor_type(std::string_view name) {
    const uint32_t id = reader_.read<uint32_t>();
    const gguf::TensorType* type = gguf::find_tensor_type(id);
    require(type != nullptr, "{}: tensor {} is of type {}, which ggml did not have when this was written",
            where_, in_quotes(name), id);
    require(type->readable,
            "{}: tensor {} is stored as {}, which is not supported; take a file of the same model in F16, "
            "Q8_0, Q6_K, Q5_K or Q4_K",
            where_, in_quotes(name), type->name);
    return type->dtype;
  }

  uint64_t alignment() const {
    const std::string& text = value("general.alignment");
    if (text.empty()) return gguf::default_alignment;
    uint32_t alignment = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), alignment);
    require(error == std::errc() && end == text.data() + text.size() && std::has_single_bit(alignment),
            "{}: general.alignment is {}, expected a power of two", where_, in_quotes(text));
    return alignment;
  }

  void place_data() {
    require(value("split.count").empty() || value("split.count") == "0" || value("split.count") == "1",
            "{}: the file is one of {} parts of a model; join them first (llama-gguf-split --merge)", where_,
            value("split.count"));
    std::unordered_set<std::string_view> names;
    const uint64_t alignment = this->alignment();
    const uint64_t begin = gguf::align_up(reader_.position(), alignment);
    const Bytes data = bytes_.subspan(static_cast<size_t>(std::min<uint64_t>(begin, bytes_.size())));
    for (size_t i = 0; i < table_.tensors.size(); ++i) {
      TensorEntry& tensor = table_.tensors[i];
      require(names.insert(tensor.name).second, "{}: two tensors are named {}", where_,
              in_quotes(tensor.name));
      const uint64_t size = static_cast<uint64_t>(expected_bytes(tensor, where_)), offset = offsets_[i];
      require(offset % alignment == 0, "{}: the data of tensor {} begins at {}, expected a multiple of {}",
              where_, in_quotes(tensor.name), offset, alignment);
      require(offset <= data.size() && size <= data.size() - offset,
              "{}: tensor {} needs {} bytes from byte {} of the data, but the file has only {}; it is cut "
              "short",
              where_, in_quotes(tensor.name), size, offset, data.size());
      tensor.data = data.subspan(static_cast<size_t>(offset), static_cast<size_t>(size));
    }
    require_no_overlap();
  }

  void require_no_overlap() {
    std::vector<size_t> order(table_.tensors.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::erase_if(order, [&](size_t i) { return table_.tensors[i].data.empty(); });
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return offsets_[a] < offsets_[b]; });
    for (size_t i = 1; i < order.size(); ++i) {
      const TensorEntry& before = table_.tensors[order[i - 1]];
      require(offsets_[order[i]] >= offsets_[order[i - 1]] + before.data.size(),
              "{}: the data of the tensors {} and {} overlap", where_, in_quotes(before.name),
              in_quotes(table_.tensors[order[i]].name));
    }
  }

  Bytes bytes_;
  const std::string& where_;
  ByteReader reader_;
  TensorTable table_;
  std::unordered_set<std::string_view> keys_;
  std::vector<std::string_view> tokens_, arrays_;
  Bytes token_types_;
  std::vector<uint64_t> offsets_;  // of the tensors, relative to the data
};

}  // namespace

bool looks_like_gguf(Bytes bytes) { return as_text(bytes).starts_with(gguf::magic); }

TensorTable parse_gguf(Bytes bytes, const std::string& where) { return GgufReader(bytes, where).read(); }

const FileFormat gguf_format{.name = "gguf", .files = ".gguf", .probe = looks_like_gguf, .read = parse_gguf};

}  // namespace aviary
