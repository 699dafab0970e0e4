// A state_dict as torch.save writes it since 1.6: a pickle of protocol 2 and one stored entry per tensor.
#include <zlib.h>

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "formats/pth.h"
#include "formats/zip_writer.h"

namespace aviary {
namespace {

std::string_view storage_name(const StoredTensor& tensor, const std::filesystem::path& path) {
  switch (tensor.type) {
    case Dtype::f32:
      return "FloatStorage";
    case Dtype::f64:
      return "DoubleStorage";
    case Dtype::f16:
      return "HalfStorage";
    case Dtype::bf16:
      return "BFloat16Storage";
    case Dtype::i8:
      return "CharStorage";
    case Dtype::u8:
      return "ByteStorage";
    case Dtype::i16:
      return "ShortStorage";
    case Dtype::i32:
      return "IntStorage";
    case Dtype::i64:
      return "LongStorage";
    case Dtype::boolean:
      return "BoolStorage";
    default:
      fail("{}: tensor {} would be stored as {}, which torch does not have", path.string(),
           in_quotes(tensor.source.name), name_of(tensor.type));
  }
}

// The opcodes of a pickle. Lengths and numbers are little-endian.
class PickleWriter {
 public:
  PickleWriter& op(std::string_view opcodes) {
    text_ += opcodes;
    return *this;
  }
  PickleWriter& text(std::string_view text) {  // BINUNICODE
    number('X', static_cast<uint32_t>(text.size()));
    return op(text);
  }
  PickleWriter& global(std::string_view module, std::string_view name) {
    return op("c").op(module).op("\n").op(name).op("\n");
  }
  PickleWriter& integer(int64_t value) {
    if (value >= 0 && value <= INT32_MAX) return number('J', static_cast<int32_t>(value));  // BININT
    return op("\x8a\x08").append(value);                                                    // LONG1
  }
  PickleWriter& integers(const std::vector<int64_t>& values) {  // a tuple
    op("(");
    for (int64_t value : values) integer(value);
    return op("t");
  }
  const std::string& bytes() const { return text_; }

 private:
  template <typename T>
  PickleWriter& append(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  template <typename T>
  PickleWriter& number(char opcode, T value) {
    text_ += opcode;
    return append(value);
  }

  std::string text_;
};

std::vector<int64_t> row_major_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * std::max<int64_t>(shape[i], 1);
  return strides;
}

constexpr std::string_view call = "R", tuple_begin = "(", tuple_end = "t", empty_tuple = ")", no = "\x89";

std::string pickle_of(std::span<const StoredTensor> tensors, const std::filesystem::path& path) {
  PickleWriter pickle;
  pickle.op("\x80\x02").global("collections", "OrderedDict").op(empty_tuple).op(call);
  pickle.op("(");  // the items, up to SETITEMS
  for (size_t i = 0; i < tensors.size(); ++i) {
    const StoredTensor& tensor = tensors[i];
    pickle.text(tensor.source.name);
    pickle.global("torch._utils", "_rebuild_tensor_v2").op(tuple_begin);
    pickle.op(tuple_begin).text("storage").global("torch", storage_name(tensor, path));
    pickle.text(std::to_string(i)).text("cpu").integer(count_of(tensor.source)).op(tuple_end).op("Q");
    pickle.integer(0).integers(tensor.source.shape).integers(row_major_strides(tensor.source.shape)).op(no);
    pickle.global("collections", "OrderedDict").op(empty_tuple).op(call);
    pickle.op(tuple_end).op(call);
  }
  pickle.op("u.");
  return pickle.bytes();
}

uint32_t crc_of(const StoredTensor& tensor) {
  uLong crc = 0;
  write_stored(tensor, [&](Bytes bytes) {
    crc = crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  });
  return static_cast<uint32_t>(crc);
}

}  // namespace

void write_pth(const std::filesystem::path& path, std::span<const StoredTensor> tensors,
               const WriteProgress& progress) {
  std::unordered_set<std::string_view> names;
  for (const StoredTensor& tensor : tensors)
    require(names.insert(tensor.source.name).second, "{}: two tensors are named {}", path.string(),
            in_quotes(tensor.source.name));
  ZipWriter archive(path);
  archive.add("model/data.pkl", pickle_of(tensors, path));
  archive.add("model/byteorder", "little");
  WriteCounter counter(progress, bytes_of(tensors));
  for (size_t i = 0; i < tensors.size(); ++i) {
    archive.begin(fmt::format("model/data/{}", i), static_cast<uint64_t>(tensors[i].bytes()),
                  crc_of(tensors[i]));
    write_stored(tensors[i], [&](Bytes bytes) {
      archive.write(bytes);
      counter.add(bytes);
    });
  }
  archive.add("model/version", "3\n");
  archive.commit();
}

}  // namespace aviary
