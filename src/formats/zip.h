// The directory of a zip archive (PKWARE APPNOTE 6.3, with zip64) of torch.save: entries are stored, not
// compressed, so that their bytes can be used in place.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "formats/bytes.h"

namespace aviary {

struct ZipEntry {
  std::string_view name;  // points into the archive
  uint16_t method = 0;    // 0 stored, 8 deflated
  uint16_t flags = 0;
  uint64_t packed_size = 0;
  uint64_t size = 0;
  uint64_t header_offset = 0;
};

// All entries in the order of the directory, with unique names; throws Error if the archive is damaged.
std::vector<ZipEntry> read_zip_directory(Bytes archive, std::string_view where);

// The bytes of a stored entry; throws Error if it is compressed, encrypted, or not inside the archive.
Bytes zip_entry_bytes(Bytes archive, const ZipEntry& entry, std::string_view where);

}  // namespace aviary
