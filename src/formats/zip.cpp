#include "formats/zip.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

namespace aviary {
namespace {

constexpr uint32_t local_header_signature = 0x04034b50;
constexpr uint32_t directory_entry_signature = 0x02014b50;
constexpr uint32_t end_signature = 0x06054b50;
constexpr uint32_t end64_signature = 0x06064b50;
constexpr uint32_t locator64_signature = 0x07064b50;
constexpr size_t end_size = 22;
constexpr size_t locator64_size = 20;
constexpr size_t directory_entry_size = 46;

struct Directory {
  uint64_t entries;
  uint64_t size;
  uint64_t offset;
};

// Bytes [offset, offset + size) of the archive; offset and size may have any value.
Bytes part(Bytes archive, uint64_t offset, uint64_t size, const char* what, std::string_view where) {
  if (offset > archive.size() || size > archive.size() - offset)
    fail("{}: the zip archive says that its {} is at byte {}, {} bytes long, but the file has {} bytes",
         where, what, offset, size, archive.size());
  return archive.subspan(static_cast<size_t>(offset), static_cast<size_t>(size));
}

// The end record is at the end of the file, followed only by a comment whose length it states.
std::optional<size_t> find_end_record(Bytes archive) {
  if (archive.size() < end_size) return std::nullopt;
  size_t last = archive.size() - end_size;
  for (size_t comment = 0; comment <= std::min<size_t>(last, 0xffff); ++comment) {
    ByteReader reader(archive.subspan(last - comment), "");
    if (reader.read<uint32_t>() != end_signature) continue;
    reader.take(end_size - 6);
    if (reader.read<uint16_t>() == comment) return last - comment;
  }
  return std::nullopt;
}

Directory find_directory(Bytes archive, std::string_view where) {
  std::optional<size_t> end = find_end_record(archive);
  require(end.has_value(), "{}: the zip directory at the end of the file is missing; the file is cut short",
          where);
  ByteReader reader(archive.subspan(*end), where);
  reader.take(4);
  uint16_t disk = reader.read<uint16_t>();
  uint16_t directory_disk = reader.read<uint16_t>();
  reader.take(2);
  Directory directory{};
  directory.entries = reader.read<uint16_t>();
  directory.size = reader.read<uint32_t>();
  directory.offset = reader.read<uint32_t>();
  require(disk == directory_disk, "{}: the zip archive is split over several files, expected one", where);
  if (*end < locator64_size) return directory;
  ByteReader locator(archive.subspan(*end - locator64_size, locator64_size), where);
  if (locator.read<uint32_t>() != locator64_signature) return directory;
  locator.take(4);
  uint64_t end64 = locator.read<uint64_t>();
  ByteReader record(part(archive, end64, 56, "zip64 end record", where), where);
  require(record.read<uint32_t>() == end64_signature,
          "{}: the zip64 end record is not where the archive says", where);
  record.take(8 + 2 + 2 + 4 + 4 + 8);  // size, versions, disks, entries on this disk
  directory.entries = record.read<uint64_t>();
  directory.size = record.read<uint64_t>();
  directory.offset = record.read<uint64_t>();
  return directory;
}

// Sizes and offsets that do not fit into 32 bits are 0xffffffff in the entry and stored in the extra field of
// type 1.
void read_zip64_extra(ZipEntry& entry, Bytes extra, std::string_view where) {
  constexpr uint64_t elsewhere = 0xffffffff;
  if (entry.size != elsewhere && entry.packed_size != elsewhere && entry.header_offset != elsewhere) return;
  ByteReader fields(extra, where);
  while (fields.left() >= 4) {
    uint16_t type = fields.read<uint16_t>();
    Bytes field = fields.take(fields.read<uint16_t>());
    if (type != 1) continue;
    ByteReader values(field, where);
    for (uint64_t* value : {&entry.size, &entry.packed_size, &entry.header_offset})
      if (*value == elsewhere) *value = values.read<uint64_t>();
    return;
  }
  fail("{}: the zip64 sizes of the entry {} are missing", where, in_quotes(entry.name));
}

ZipEntry read_entry(ByteReader& reader, std::string_view where) {
  require(reader.read<uint32_t>() == directory_entry_signature, "{}: the zip directory is damaged", where);
  ZipEntry entry;
  reader.take(4);  // versions
  entry.flags = reader.read<uint16_t>();
  entry.method = reader.read<uint16_t>();
  reader.take(4 + 4);  // time, CRC
  entry.packed_size = reader.read<uint32_t>();
  entry.size = reader.read<uint32_t>();
  uint16_t name_size = reader.read<uint16_t>();
  uint16_t extra_size = reader.read<uint16_t>();
  uint16_t comment_size = reader.read<uint16_t>();
  reader.take(2 + 2 + 4);  // disk, attributes
  entry.header_offset = reader.read<uint32_t>();
  entry.name = as_text(reader.take(name_size));
  Bytes extra = reader.take(extra_size);
  reader.take(comment_size);
  read_zip64_extra(entry, extra, where);
  return entry;
}

}  // namespace

std::vector<ZipEntry> read_zip_directory(Bytes archive, std::string_view where) {
  Directory directory = find_directory(archive, where);
  ByteReader reader(part(archive, directory.offset, directory.size, "directory", where), where);
  require(directory.entries <= directory.size / directory_entry_size,
          "{}: the zip directory says that it has {} entries, but it has only {} bytes", where,
          directory.entries, directory.size);
  std::vector<ZipEntry> entries;
  entries.reserve(static_cast<size_t>(directory.entries));
  std::unordered_set<std::string_view> names;
  while (entries.size() < directory.entries) {
    entries.push_back(read_entry(reader, where));
    std::string_view name = entries.back().name;
    require(names.insert(name).second, "{}: the zip archive has two entries named {}", where,
            in_quotes(name));
  }
  return entries;
}

Bytes zip_entry_bytes(Bytes archive, const ZipEntry& entry, std::string_view where) {
  require((entry.flags & 1) == 0,
          "{}: the zip entry {} is encrypted, expected a file as torch.save writes it", where,
          in_quotes(entry.name));
  require(entry.method == 0 && entry.packed_size == entry.size,
          "{}: the zip entry {} is compressed, expected stored entries as torch.save writes them; unpack the "
          "archive and pack it again with `zip -0`",
          where, in_quotes(entry.name));
  constexpr uint64_t header_size = 30;
  ByteReader header(part(archive, entry.header_offset, header_size, "entry header", where), where);
  require(header.read<uint32_t>() == local_header_signature,
          "{}: the zip entry {} is not where the directory says", where, in_quotes(entry.name));
  header.take(22);
  uint64_t name_size = header.read<uint16_t>();
  uint64_t extra_size = header.read<uint16_t>();
  uint64_t name_offset = entry.header_offset + header_size;
  std::string_view name = as_text(part(archive, name_offset, name_size, "entry name", where));
  require(name == entry.name, "{}: the zip entry {} is called {} in its own header", where,
          in_quotes(entry.name), in_quotes(name));
  return part(archive, name_offset + name_size + extra_size, entry.size, "entry", where);
}

}  // namespace aviary
