#include "formats/safetensors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/files.h"
#include "formats/format.h"

namespace aviary {
namespace {

using Json = nlohmann::json;

constexpr int64_t max_header_bytes = 100'000'000;
constexpr std::string_view metadata_name = "__metadata__";
constexpr std::pair<std::string_view, Dtype> dtypes[] = {
    {"F32", Dtype::f32}, {"F64", Dtype::f64},     {"F16", Dtype::f16}, {"BF16", Dtype::bf16},
    {"I8", Dtype::i8},   {"U8", Dtype::u8},       {"I16", Dtype::i16}, {"I32", Dtype::i32},
    {"I64", Dtype::i64}, {"BOOL", Dtype::boolean}};

struct HeaderEntry {
  TensorEntry tensor;
  int64_t begin = 0;
  int64_t end = 0;
};

// Reads the header as a stream of events, so that only the expected structure is ever built:
//   { "__metadata__": { key: text ... },
//     name: { "dtype": text, "shape": [ sizes ], "data_offsets": [ begin, end ] } ... }
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(std::string_view where) : where_(where) {}

  std::vector<HeaderEntry> entries;
  std::map<std::string, std::string> metadata;

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a boolean"); }
  bool number_float(number_float_t, const string_t&) override { unexpected("a fraction"); }
  bool binary(binary_t&) override { unexpected("binary data"); }
  bool number_integer(number_integer_t value) override { return number(value); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<uint64_t>(INT64_MAX)) unexpected("a number beyond 2^63");
    return number(static_cast<int64_t>(value));
  }

  bool string(string_t& text) override {
    if (place_ == Place::metadata_value) {
      bool is_new = metadata.emplace(std::move(key_), std::move(text)).second;
      require(is_new, "{}: the header has two metadata values of the same name", where_);
      place_ = Place::metadata;
    } else if (place_ == Place::dtype) {
      auto found =
          std::find_if(std::begin(dtypes), std::end(dtypes), [&](auto& row) { return row.first == text; });
      if (found == std::end(dtypes))
        fail(
            "{}: tensor {} has the dtype {}, which is not supported; supported are F32, F64, F16, BF16, I8, "
            "U8, I16, I32, I64, BOOL",
            where_, in_quotes(entry().tensor.name), in_quotes(text));
      entry().tensor.dtype = found->second;
      place_ = Place::tensor;
    } else {
      unexpected("a text");
    }
    return true;
  }

  bool start_object(size_t) override {
    if (place_ == Place::start)
      place_ = Place::header;
    else if (place_ == Place::tensor_value)
      place_ = Place::tensor;
    else if (place_ == Place::all_metadata)
      place_ = Place::metadata;
    else
      unexpected("an object");
    return true;
  }
  bool key(string_t& name) override {
    if (place_ == Place::header)
      header_key(std::move(name));
    else if (place_ == Place::metadata)
      key_ = std::move(name), place_ = Place::metadata_value;
    else
      tensor_key(name);
    return true;
  }
  bool end_object() override {
    if (place_ == Place::tensor && !(has_dtype_ && has_shape_ && has_offsets_))
      fail("{}: the header entry of tensor {} lacks dtype, shape or data_offsets", where_,
           in_quotes(entry().tensor.name));
    place_ = place_ == Place::header ? Place::end : Place::header;
    return true;
  }
  bool start_array(size_t) override {
    if (place_ == Place::shape)
      place_ = Place::sizes;
    else if (place_ == Place::offsets)
      place_ = Place::begin;
    else
      unexpected("a list");
    return true;
  }
  bool end_array() override {
    if (place_ != Place::sizes && place_ != Place::offsets_end) unexpected("the end of a list");
    place_ = Place::tensor;
    return true;
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail("{}: the safetensors header is not valid JSON at its byte {}; the file is damaged", where_,
         position);
  }

 private:
  // What was read last, or which value is expected next.
  enum class Place {
    start,
    header,
    end,
    all_metadata,
    metadata,
    metadata_value,
    tensor_value,
    tensor,
    dtype,
    shape,
    sizes,
    offsets,
    begin,
    offset_end,
    offsets_end
  };

  HeaderEntry& entry() { return entries.back(); }

  [[noreturn]] void unexpected(std::string_view what) const {
    std::string name =
        entries.empty() ? "" : fmt::format(" at or after tensor {}", in_quotes(entries.back().tensor.name));
    fail("{}: the safetensors header holds {} where none is expected{}", where_, what, name);
  }
  void header_key(std::string name) {
    require(names_.insert(name).second, "{}: the header has two tensors named {}", where_, in_quotes(name));
    if (name == metadata_name) {
      place_ = Place::all_metadata;
      return;
    }
    entries.emplace_back().tensor.name = std::move(name);
    has_dtype_ = has_shape_ = has_offsets_ = false;
    place_ = Place::tensor_value;
  }
  void tensor_key(std::string_view name) {
    bool* seen = name == "dtype" ? &has_dtype_ : name == "shape" ? &has_shape_ : &has_offsets_;
    require(name == "dtype" || name == "shape" || name == "data_offsets",
            "{}: the header entry of tensor {} has the unknown field {}", where_,
            in_quotes(entry().tensor.name), in_quotes(name));
    require(!*seen, "{}: the header entry of tensor {} has {} twice", where_, in_quotes(entry().tensor.name),
            in_quotes(name));
    *seen = true;
    place_ = name == "dtype" ? Place::dtype : name == "shape" ? Place::shape : Place::offsets;
  }
  bool number(int64_t value) {
    if (value < 0) unexpected("a negative number");
    if (place_ == Place::sizes) {
      entry().tensor.shape.push_back(value);
    } else if (place_ == Place::begin) {
      entry().begin = value;
      place_ = Place::offset_end;
    } else if (place_ == Place::offset_end) {
      entry().end = value;
      place_ = Place::offsets_end;
    } else {
      unexpected("a number");
    }
    return true;
  }

  std::string_view where_;
  Place place_ = Place::start;
  std::string key_;  // key of the next metadata value
  std::unordered_set<std::string> names_;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
};

// Sets the data of the entries, which are in the order of the data.
void place_data(std::vector<HeaderEntry>& entries, Bytes data, const std::string& where) {
  int64_t end = 0;
  for (HeaderEntry& entry : entries) {
    int64_t size = expected_bytes(entry.tensor, where);
    require(entry.begin == end,
            "{}: the data of tensor {} begins at byte {}, expected {}, where the one before it ends", where,
            in_quotes(entry.tensor.name), entry.begin, end);
    require(entry.end >= entry.begin && entry.end - entry.begin == size,
            "{}: tensor {} has the data offsets [{}, {}], but its shape [{}] of {} needs {} bytes", where,
            in_quotes(entry.tensor.name), entry.begin, entry.end, fmt::join(entry.tensor.shape, ", "),
            name_of(entry.tensor.dtype), size);
    require(
        static_cast<uint64_t>(entry.end) <= data.size(),
        "{}: the data of tensor {} ends at byte {}, but the file has only {} bytes of data; it is cut short",
        where, in_quotes(entry.tensor.name), entry.end, data.size());
    entry.tensor.data = data.subspan(static_cast<size_t>(entry.begin), static_cast<size_t>(size));
    end = entry.end;
  }
  require(static_cast<uint64_t>(end) == data.size(),
          "{}: {} bytes follow the data of the last tensor, expected none", where,
          data.size() - static_cast<uint64_t>(end));
}

std::string as_json(const std::string& text, const std::filesystem::path& path) {
  try {
    return Json(text).dump();
  } catch (const Json::exception&) {
    fail("{}: the name or metadata value {} is not UTF-8, which safetensors requires", path.string(),
         in_quotes(text));
  }
}

std::string make_header(const std::filesystem::path& path, std::span<const StoredTensor> tensors,
                        const std::map<std::string, std::string>& metadata) {
  std::string header;
  for (const auto& [key, value] : metadata)
    header += fmt::format("{}{}:{}", header.empty() ? "" : ",", as_json(key, path), as_json(value, path));
  if (!header.empty()) header = fmt::format("\"{}\":{{{}}}", metadata_name, header);
  int64_t begin = 0;
  for (const StoredTensor& stored : tensors) {
    const TensorEntry& tensor = stored.source;
    int64_t end = 0;
    bool fits = !__builtin_add_overflow(begin, stored.bytes(), &end);
    require(fits, "{}: the tensors are too large for a file", path.string());
    auto dtype = std::find_if(std::begin(dtypes), std::end(dtypes),
                              [&](auto& row) { return row.second == stored.type; });
    require(dtype != std::end(dtypes), "{}: tensor {} would be stored as {}, which safetensors does not have",
            path.string(), in_quotes(tensor.name), name_of(stored.type));
    header += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                          header.empty() ? "" : ",", as_json(tensor.name, path), dtype->first,
                          fmt::join(tensor.shape, ","), begin, end);
    begin = end;
  }
  header = fmt::format("{{{}}}", header);
  constexpr size_t line = 64, length = 8;  // the header follows its length
  header.resize((length + header.size() + line - 1) / line * line - length, ' ');
  require(static_cast<int64_t>(header.size()) <= max_header_bytes,
          "{}: the safetensors header would have {} bytes, the format allows {}", path.string(),
          header.size(), max_header_bytes);
  return header;
}

}  // namespace

bool looks_like_safetensors(Bytes bytes) {
  // The eighth byte is the highest byte of the header length: a letter there means that the file is a text.
  return bytes.size() > 8 && bytes[8] == std::byte{'{'} &&
         (bytes[7] < std::byte{0x20} || bytes[7] > std::byte{0x7e});
}

TensorTable parse_safetensors(Bytes bytes, const std::string& where) {
  ByteReader reader(bytes, where);
  uint64_t header_bytes = reader.read<uint64_t>();
  require(header_bytes <= static_cast<uint64_t>(max_header_bytes),
          "{}: the safetensors header says that it has {} bytes, the format allows {}", where, header_bytes,
          max_header_bytes);
  require(header_bytes <= reader.left(),
          "{}: the safetensors header says that it has {} bytes, but only {} follow; the file is cut short",
          where, header_bytes, reader.left());
  std::string_view json = as_text(reader.take(header_bytes));
  HeaderReader header(where);
  Json::sax_parse(json.begin(), json.end(), &header);
  std::stable_sort(header.entries.begin(), header.entries.end(),
                   [](const HeaderEntry& a, const HeaderEntry& b) {
                     return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
                   });
  place_data(header.entries, reader.rest(), where);
  TensorTable table{.format = "safetensors",
                    .dialect = {},
                    .tensors = {},
                    .metadata = std::move(header.metadata),
                    .buffers = {}};
  table.tensors.reserve(header.entries.size());
  for (HeaderEntry& entry : header.entries) table.tensors.push_back(std::move(entry.tensor));
  return table;
}

void write_safetensors(const std::filesystem::path& path, std::span<const StoredTensor> tensors,
                       const std::map<std::string, std::string>& metadata, const WriteProgress& progress) {
  std::unordered_set<std::string_view> names{metadata_name};
  for (const StoredTensor& stored : tensors) {
    const TensorEntry& tensor = stored.source;
    require(names.insert(tensor.name).second, "{}: two tensors, or a tensor and the metadata, are named {}",
            path.string(), in_quotes(tensor.name));
    int64_t size = expected_bytes(tensor, path.string());
    require(static_cast<uint64_t>(size) == tensor.data.size(),
            "{}: tensor {} has {} bytes of data, its shape needs {}", path.string(), in_quotes(tensor.name),
            tensor.data.size(), size);
  }
  std::string header = make_header(path, tensors, metadata);
  uint64_t header_bytes = header.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&header_bytes, 1)));
  file.write(header);
  WriteCounter counter(progress, bytes_of(tensors));
  for (const StoredTensor& tensor : tensors)
    write_stored(tensor, [&](Bytes bytes) {
      file.write(bytes);
      counter.add(bytes);
    });
  file.commit();
}

const FileFormat safetensors_format{.name = "safetensors",
                                    .files = ".safetensors",
                                    .probe = looks_like_safetensors,
                                    .read = parse_safetensors};

}  // namespace aviary
