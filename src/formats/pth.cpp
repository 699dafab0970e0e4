#include "formats/pth.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "formats/format.h"
#include "formats/pickle.h"
#include "formats/zip.h"

namespace aviary {
namespace {

using Kind = PickleValue::Kind;
using Index = PickleValue::Index;

constexpr std::string_view rebuild_tensor = "torch._utils _rebuild_tensor_v2";
constexpr std::string_view rebuild_parameter = "torch._utils _rebuild_parameter";

struct StorageType {
  std::string_view name;
  Dtype dtype;
};
constexpr StorageType storage_types[] = {
    {"torch FloatStorage", Dtype::f32}, {"torch DoubleStorage", Dtype::f64},
    {"torch HalfStorage", Dtype::f16},  {"torch BFloat16Storage", Dtype::bf16},
    {"torch CharStorage", Dtype::i8},   {"torch ByteStorage", Dtype::u8},
    {"torch ShortStorage", Dtype::i16}, {"torch IntStorage", Dtype::i32},
    {"torch LongStorage", Dtype::i64},  {"torch BoolStorage", Dtype::boolean}};

// What trainers save beside the tensors: settings, counters. Like all globals, these are never loaded or run.
constexpr std::string_view harmless[] = {"argparse Namespace",
                                         "types SimpleNamespace",
                                         "pathlib PosixPath",
                                         "pathlib PurePosixPath",
                                         "pathlib WindowsPath",
                                         "_codecs encode",
                                         "numpy dtype",
                                         "numpy.core.multiarray scalar",
                                         "numpy._core.multiarray scalar",
                                         "torch Size",
                                         "torch device",
                                         "torch float16",
                                         "torch bfloat16",
                                         "torch float32",
                                         "torch float64",
                                         "torch int64",
                                         "__builtin__ set",
                                         "builtins set"};

// The only globals that a pickle may use.
constexpr auto allowed_globals = [] {
  constexpr std::string_view tensors[] = {"collections OrderedDict", rebuild_tensor, rebuild_parameter};
  std::array<std::string_view, std::size(tensors) + std::size(storage_types) + std::size(harmless)> names{};
  auto next = std::copy(std::begin(tensors), std::end(tensors), names.begin());
  for (const StorageType& type : storage_types) *next++ = type.name;
  std::copy(std::begin(harmless), std::end(harmless), next);
  return names;
}();

// Where trainers keep the tensors of the model in a dict of more.
constexpr std::string_view model_entries[] = {"state_dict", "model_state_dict", "model", "module", "weights"};

// The magic number 0x1950a86a20f9469cfc6c as a pickle: PROTO 2, LONG1 of ten bytes, STOP.
constexpr std::string_view legacy_magic{"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15};
constexpr int64_t legacy_protocol = 1001;
constexpr size_t max_key_size = 64;
constexpr size_t max_expansion = 4;

struct Storage {
  Dtype dtype = Dtype::f32;
  int64_t count = 0;
  int64_t size = 0;  // bytes
  Bytes bytes;
};
using Storages = std::unordered_map<std::string_view, Storage>;

// Copies the elements in row-major order; strides are in bytes.
template <size_t element>
void gather(const std::byte* source, std::span<const int64_t> sizes, std::span<const int64_t> strides,
            std::byte*& out) {
  if (sizes.empty()) {
    std::memcpy(out, source, element);
    out += element;
    return;
  }
  for (int64_t i = 0; i < sizes[0]; ++i)
    gather<element>(source + i * strides[0], sizes.subspan(1), strides.subspan(1), out);
}

void gather(size_t element, const std::byte* source, std::span<const int64_t> sizes,
            std::span<const int64_t> strides, std::byte* out) {
  switch (element) {
    case 1:
      return gather<1>(source, sizes, strides, out);
    case 2:
      return gather<2>(source, sizes, strides, out);
    case 4:
      return gather<4>(source, sizes, strides, out);
    default:
      return gather<8>(source, sizes, strides, out);
  }
}

bool is_row_major(std::span<const int64_t> sizes, std::span<const int64_t> strides) {
  int64_t expected = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    if (sizes[i] != 1 && strides[i] != expected) return false;
    expected *= sizes[i];
  }
  return true;
}

class PthReader {
 public:
  PthReader(const Pickle& pickle, const std::string& where) : pickle_(pickle), where_(where) {}

  // All storages used by the pickle, without their bytes yet.
  Storages declared_storages() const {
    Storages storages;
    for (const PickleValue& value : pickle_.values) {
      if (value.kind != Kind::persistent) continue;
      auto [key, storage] = declared_storage(value);
      const Storage& known = storages.emplace(key, storage).first->second;
      require(known.dtype == storage.dtype && known.count == storage.count,
              "{}: the storage {} is described in two ways; the file is damaged", where_, in_quotes(key));
    }
    return storages;
  }

  // `file_size` limits the total size of the tensors: views of one storage could otherwise have any size.
  TensorTable read(const Storages& storages, size_t file_size) const {
    size_t budget = max_expansion * file_size;
    TensorTable table{.format = "pth", .dialect = {}, .tensors = {}, .metadata = {}, .buffers = {}};
    const PickleValue& root = pickle_[pickle_.root];
    require(root.kind == Kind::dict,
            "{}: the file holds something other than a dict; expected a dict of tensors, as "
            "torch.save(model.state_dict(), ...) writes it",
            where_);
    std::unordered_set<const PickleValue*> seen;
    const PickleValue* found = root.items.empty() ? &root : model_in(root, seen);
    if (!found)
      fail(
          "{}: the dict in the file holds no tensors, its first entry is {}; expected a dict of tensors, as "
          "torch.save(model.state_dict(), ...) writes it",
          where_, in_quotes(pickle_[root.items[0]].text));
    const PickleValue& dict = *found;
    std::unordered_set<std::string_view> names;
    for (size_t i = 0; i < dict.items.size(); i += 2) {
      const PickleValue &key = pickle_[dict.items[i]], &value = pickle_[dict.items[i + 1]];
      if (!is_tensor(value)) continue;
      require(key.kind == Kind::text, "{}: a tensor in the dict has a name that is not a text", where_);
      require(names.insert(key.text).second, "{}: two tensors are named {}", where_, in_quotes(key.text));
      table.tensors.push_back(tensor(key.text, value, storages, budget, table));
    }
    return table;
  }

 private:
  // A call that has to be that of a tensor, not of one of the harmless globals.
  bool is_tensor(const PickleValue& value) const {
    if (value.kind != Kind::call) return false;
    const std::string_view function = pickle_[value.items[0]].text;
    return std::find(std::begin(harmless), std::end(harmless), function) == std::end(harmless);
  }

  bool holds_tensors(const PickleValue& dict) const {
    for (size_t i = 1; i < dict.items.size(); i += 2)
      if (is_tensor(pickle_[dict.items[i]])) return true;
    return false;
  }

  using Entries = std::vector<std::pair<std::string_view, const PickleValue*>>;  // dicts by their names
  Entries dicts_in(const PickleValue& dict) const {
    Entries inside;
    for (size_t i = 0; i < dict.items.size(); i += 2)
      if (const PickleValue& value = pickle_[dict.items[i + 1]]; value.kind == Kind::dict)
        inside.emplace_back(pickle_[dict.items[i]].text, &value);
    return inside;
  }

  // The dict of the model's tensors: inside `dict` under a name that trainers use, or `dict` itself, or the
  // only dict of tensors inside it; null if there is none. `seen`: dicts may contain themselves.
  const PickleValue* model_in(const PickleValue& dict, std::unordered_set<const PickleValue*>& seen) const {
    constexpr size_t most = 64;  // far more than trainers nest
    if (seen.size() >= most || !seen.insert(&dict).second) return nullptr;
    Entries inside = dicts_in(dict);
    for (const std::string_view entry : model_entries)
      for (const auto& [name, value] : inside)
        if (name == entry)
          if (const PickleValue* found = model_in(*value, seen)) return found;
    if (holds_tensors(dict)) return &dict;
    std::erase_if(inside, [&](const auto& entry) { return !holds_tensors(*entry.second); });
    require(inside.size() < 2,
            "{}: the file holds several dicts of tensors, {} and {} among them; save that of the model on "
            "its own",
            where_, in_quotes(inside.empty() ? "" : inside[0].first),
            in_quotes(inside.empty() ? "" : inside.back().first));
    return inside.empty() ? nullptr : inside[0].second;
  }

  [[noreturn]] void fail_at(std::string_view name, std::string_view problem) const {
    fail("{}: tensor {}: {}; the file is damaged or of an unknown version of torch", where_, in_quotes(name),
         problem);
  }

  // ("storage", type, key, location, count); in legacy files with the view as a sixth item.
  std::pair<std::string_view, Storage> declared_storage(const PickleValue& persistent) const {
    constexpr std::string_view problem =
        "{}: a storage is not described as torch.save does; the file is damaged";
    const PickleValue& tuple = pickle_[persistent.items[0]];
    bool has_view = tuple.items.size() == 6;
    require(tuple.kind == Kind::tuple && (tuple.items.size() == 5 || has_view), problem, where_);
    const PickleValue &tag = pickle_[tuple.items[0]], &type = pickle_[tuple.items[1]];
    const PickleValue &key = pickle_[tuple.items[2]], &count = pickle_[tuple.items[4]];
    require(tag.kind == Kind::text && tag.text == "storage" && key.kind == Kind::text &&
                key.text.size() <= max_key_size,
            problem, where_);
    require(count.kind == Kind::integer && count.integer >= 0, problem, where_);
    auto found = std::find_if(
        std::begin(storage_types), std::end(storage_types),
        [&](const StorageType& row) { return type.kind == Kind::global && row.name == type.text; });
    require(found != std::end(storage_types), problem, where_);
    require(!has_view || pickle_[tuple.items[5]].kind == Kind::none,
            "{}: the storage {} is a view of another one, which only torch before 0.4 wrote; save the file "
            "again with a newer torch",
            where_, in_quotes(key.text));
    Storage storage{.dtype = found->dtype, .count = count.integer, .size = 0, .bytes = {}};
    require(multiply(storage.count, size_of(storage.dtype), storage.size), problem, where_);
    return {key.text, storage};
  }

  // The arguments of a call of `function`, or null.
  const std::vector<Index>* arguments(const PickleValue& value, std::string_view function) const {
    if (value.kind != Kind::call || pickle_[value.items[0]].text != function) return nullptr;
    return &pickle_[value.items[1]].items;
  }

  std::vector<int64_t> integers(std::string_view name, Index index) const {
    const PickleValue& tuple = pickle_[index];
    if (tuple.kind != Kind::tuple || tuple.items.size() > max_tensor_rank)
      fail_at(name, fmt::format("its shape is not a tuple of at most {} sizes", max_tensor_rank));
    std::vector<int64_t> values;
    for (Index item : tuple.items) {
      const PickleValue& value = pickle_[item];
      if (value.kind != Kind::integer || value.integer < 0)
        fail_at(name, "a size or a stride is not a positive integer");
      values.push_back(value.integer);
    }
    return values;
  }

  // _rebuild_tensor_v2(storage, offset, sizes, strides, requires_grad, hooks), or
  // _rebuild_parameter(tensor, requires_grad, hooks) around it.
  TensorEntry tensor(std::string_view name, const PickleValue& value, const Storages& storages,
                     size_t& budget, TensorTable& table) const {
    const std::vector<Index>* call = arguments(value, rebuild_parameter);
    if (call && call->empty()) fail_at(name, "its parameter is empty");
    call = arguments(call ? pickle_[(*call)[0]] : value, rebuild_tensor);
    if (!call || call->size() < 6) fail_at(name, "it is not described as torch.save does");
    const PickleValue &persistent = pickle_[(*call)[0]], &offset = pickle_[(*call)[1]];
    if (persistent.kind != Kind::persistent) fail_at(name, "it has no storage");
    if (offset.kind != Kind::integer || offset.integer < 0)
      fail_at(name, "its offset is not a positive integer");
    const Storage& storage = storages.at(declared_storage(persistent).first);
    TensorEntry entry{std::string(name), storage.dtype, integers(name, (*call)[2]), {}};
    std::vector<int64_t> strides = integers(name, (*call)[3]);
    if (strides.size() != entry.shape.size()) fail_at(name, "it has not as many strides as sizes");
    entry.data = data(entry, offset.integer, std::move(strides), storage, budget, table);
    return entry;
  }

  Bytes data(const TensorEntry& entry, int64_t offset, std::vector<int64_t> strides, const Storage& storage,
             size_t& budget, TensorTable& table) const {
    size_t size = static_cast<size_t>(expected_bytes(entry, where_));
    if (size == 0) return {};
    int64_t element = size_of(entry.dtype);
    int64_t last = offset;  // the largest index of an element
    for (size_t i = 0; i < strides.size(); ++i) {
      int64_t reach = 0;
      if (!multiply(entry.shape[i] - 1, strides[i], reach) || __builtin_add_overflow(last, reach, &last))
        fail_at(entry.name, "its strides are absurd");
    }
    if (last >= storage.count)
      fail("{}: tensor {} reaches element {} of a storage of {} elements; the file is damaged", where_,
           in_quotes(entry.name), last, storage.count);
    require(size <= budget,
            "{}: tensor {}: the tensors have more than {} times the bytes of the file, because elements are "
            "stored once and used many times; save copies of them",
            where_, in_quotes(entry.name), max_expansion);
    budget -= size;
    Bytes source = storage.bytes.subspan(static_cast<size_t>(offset * element));
    if (is_row_major(entry.shape, strides)) return source.first(size);
    for (size_t i = 0; i < strides.size(); ++i) strides[i] = entry.shape[i] == 1 ? 0 : strides[i] * element;
    const std::span<std::byte> buffer = table.new_buffer(size);
    gather(static_cast<size_t>(element), source.data(), entry.shape, strides, buffer.data());
    return buffer;
  }

  const Pickle& pickle_;
  const std::string& where_;
};

const ZipEntry* find_entry(const std::unordered_map<std::string_view, const ZipEntry*>& entries,
                           const std::string& name) {
  auto found = entries.find(name);
  return found == entries.end() ? nullptr : found->second;
}

TensorTable parse_zip(Bytes bytes, const std::string& where) {
  constexpr std::string_view pickle_name = "data.pkl";
  std::vector<ZipEntry> directory = read_zip_directory(bytes, where);
  std::unordered_map<std::string_view, const ZipEntry*> entries;
  const ZipEntry* main = nullptr;
  for (const ZipEntry& entry : directory) {
    entries.emplace(entry.name, &entry);
    // "archive/data.pkl", with any folder name.
    if (!entry.name.ends_with(pickle_name) ||
        (entry.name != pickle_name && !entry.name.ends_with("/data.pkl")))
      continue;
    require(main == nullptr, "{}: the zip archive has more than one data.pkl", where);
    main = &entry;
  }
  require(main != nullptr, "{}: the zip archive has no data.pkl; expected a file of torch.save", where);
  std::string root(main->name.substr(0, main->name.size() - pickle_name.size()));
  if (const ZipEntry* order = find_entry(entries, root + "byteorder"))
    require(as_text(zip_entry_bytes(bytes, *order, where)) == "little",
            "{}: the tensors are big-endian, expected little-endian", where);

  Bytes pickle_bytes = zip_entry_bytes(bytes, *main, where);
  Pickle pickle = read_pickle(pickle_bytes, allowed_globals, where);
  require(pickle.size == pickle_bytes.size(), "{}: bytes follow the end of data.pkl; the file is damaged",
          where);
  PthReader reader(pickle, where);
  Storages storages = reader.declared_storages();
  for (auto& [key, storage] : storages) {
    const ZipEntry* entry = find_entry(entries, fmt::format("{}data/{}", root, key));
    require(entry != nullptr, "{}: the storage {} is missing; the file is damaged", where, in_quotes(key));
    storage.bytes = zip_entry_bytes(bytes, *entry, where);
    require(storage.bytes.size() == static_cast<uint64_t>(storage.size),
            "{}: the storage {} has {} bytes, expected {}; the file is damaged", where, in_quotes(key),
            storage.bytes.size(), storage.size);
  }
  return reader.read(storages, bytes.size());
}

// Legacy: five pickles (magic number, protocol, system, object, keys of the storages), then for each key the
// number of elements and the elements.
TensorTable parse_legacy(Bytes bytes, const std::string& where) {
  ByteReader stream(bytes, where);
  stream.take(legacy_magic.size());
  auto next_pickle = [&] {
    Pickle pickle = read_pickle(stream.rest(), allowed_globals, where);
    stream.take(pickle.size);
    return pickle;
  };
  Pickle protocol = next_pickle();
  require(protocol[protocol.root].kind == Kind::integer && protocol[protocol.root].integer == legacy_protocol,
          "{}: the file has an unknown version of the torch format, expected {}", where, legacy_protocol);
  Pickle system = next_pickle();
  const std::vector<Index>& facts = system[system.root].items;
  for (size_t i = 0; system[system.root].kind == Kind::dict && i < facts.size(); i += 2)
    if (system[facts[i]].text == "little_endian")
      require(system[facts[i + 1]].integer == 1, "{}: the tensors are big-endian, expected little-endian",
              where);

  Pickle pickle = next_pickle();
  PthReader reader(pickle, where);
  Storages storages = reader.declared_storages();
  Pickle keys = next_pickle();
  require(keys[keys.root].kind == Kind::list, "{}: the list of the storages is missing; the file is damaged",
          where);
  std::unordered_set<std::string_view> seen;
  for (Index index : keys[keys.root].items) {
    auto found = storages.find(keys[index].text);
    require(found != storages.end() && seen.insert(found->first).second,
            "{}: the list of the storages names {}, which is unknown or named twice; the file is damaged",
            where, in_quotes(keys[index].text));
    Storage& storage = found->second;
    int64_t count = stream.read<int64_t>();
    require(count == storage.count, "{}: the storage {} has {} elements, expected {}; the file is damaged",
            where, in_quotes(found->first), count, storage.count);
    storage.bytes = stream.take(static_cast<uint64_t>(storage.size));
  }
  require(seen.size() == storages.size(), "{}: {} storages are missing; the file is damaged", where,
          storages.size() - seen.size());
  require(stream.left() == 0, "{}: {} bytes follow the last storage, expected none", where, stream.left());
  return reader.read(storages, bytes.size());
}

}  // namespace

bool looks_like_pth(Bytes bytes) {
  std::string_view text = as_text(bytes);
  return text.starts_with("PK\x03\x04") || text.starts_with(legacy_magic);
}

TensorTable parse_pth(Bytes bytes, const std::string& where) {
  return as_text(bytes).starts_with(legacy_magic) ? parse_legacy(bytes, where) : parse_zip(bytes, where);
}

const FileFormat pth_format{.name = "pth", .files = ".pth", .probe = looks_like_pth, .read = parse_pth};

}  // namespace aviary
