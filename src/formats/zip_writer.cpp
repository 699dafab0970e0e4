#include "formats/zip_writer.h"

#include <zlib.h>

#include <limits>

namespace aviary {
namespace {

constexpr uint64_t alignment = 64;
constexpr size_t local_header_size = 30, padding_header_size = 4, local_zip64_size = 20;

// A sequence of little-endian numbers.
class Record {
 public:
  template <typename T>
  Record& add(T value) {
    static_assert(std::is_arithmetic_v<T>);
    text_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  Record& text(std::string_view text) {
    text_ += text;
    return *this;
  }
  const std::string& bytes() const { return text_; }

 private:
  std::string text_;
};

constexpr uint32_t in_zip64 = std::numeric_limits<uint32_t>::max();
constexpr uint16_t version = 45;             // the first with zip64
constexpr uint16_t first_of_january = 0x21;  // January 1, 1980, the first date of the format

// The fields shared by local headers and the directory: from the version to the size of the name.
void add_common(Record& record, uint32_t crc, const std::string& name) {
  record.add(version).add(uint16_t{0}).add(uint16_t{0}).add(uint16_t{0}).add(first_of_january).add(crc);
  record.add(in_zip64).add(in_zip64).add(static_cast<uint16_t>(name.size()));
}

}  // namespace

void ZipWriter::begin(std::string name, uint64_t size, uint32_t crc) {
  const uint64_t unpadded =
      position_ + local_header_size + name.size() + local_zip64_size + padding_header_size;
  const uint16_t padding = static_cast<uint16_t>((alignment - unpadded % alignment) % alignment);
  Record header;
  header.text("PK\x03\x04");
  add_common(header, crc, name);
  header.add(static_cast<uint16_t>(local_zip64_size + padding_header_size + padding)).text(name);
  header.add(uint16_t{1}).add(uint16_t{16}).add(size).add(size);
  header.text("FB").add(padding).text(std::string(padding, 'Z'));
  entries_.push_back({std::move(name), size, position_, crc});
  write(std::as_bytes(std::span(header.bytes())));
}

void ZipWriter::write(Bytes bytes) {
  file_.write(bytes);
  position_ += bytes.size();
}

void ZipWriter::add(std::string name, std::string_view data) {
  const auto* bytes = reinterpret_cast<const Bytef*>(data.data());
  begin(std::move(name), data.size(), static_cast<uint32_t>(crc32_z(0, bytes, data.size())));
  write(std::as_bytes(std::span(data)));
}

void ZipWriter::commit() {
  const uint64_t directory = position_;
  Record records;
  for (const Entry& entry : entries_) {
    records.text("PK\x01\x02").add(version);
    add_common(records, entry.crc, entry.name);
    records.add(uint16_t{28})
        .add(uint16_t{0})
        .add(uint16_t{0})
        .add(uint16_t{0})
        .add(uint32_t{0})
        .add(in_zip64);
    records.text(entry.name)
        .add(uint16_t{1})
        .add(uint16_t{24})
        .add(entry.size)
        .add(entry.size)
        .add(entry.offset);
  }
  const uint64_t size = records.bytes().size(), end = directory + size, count = entries_.size();
  records.text("PK\x06\x06").add(uint64_t{44}).add(version).add(version).add(uint32_t{0}).add(uint32_t{0});
  records.add(count).add(count).add(size).add(directory);
  records.text("PK\x06\x07").add(uint32_t{0}).add(end).add(uint32_t{1});
  const uint16_t many = std::numeric_limits<uint16_t>::max();
  records.text("PK\x05\x06")
      .add(uint16_t{0})
      .add(uint16_t{0})
      .add(many)
      .add(many)
      .add(in_zip64)
      .add(in_zip64);
  records.add(uint16_t{0});
  write(std::as_bytes(std::span(records.bytes())));
  file_.commit();
}

}  // namespace aviary
