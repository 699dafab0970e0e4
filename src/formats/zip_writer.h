// Writing a zip archive whose entries are stored, as torch.load wants it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "formats/bytes.h"

namespace aviary {

// Sizes and offsets are written as 64 bits throughout, so that a small archive and one of many gigabytes take
// the same road. The data of every entry begins at a multiple of 64 bytes. Same entries, same bytes.
class ZipWriter {
 public:
  explicit ZipWriter(const std::filesystem::path& path) : file_(path) {}

  // Begins an entry of `size` bytes with the CRC-32 `crc`; exactly so many bytes are written next.
  void begin(std::string name, uint64_t size, uint32_t crc);
  void write(Bytes bytes);
  // Both in one, for what lies in memory.
  void add(std::string name, std::string_view data);
  // Writes the directory and puts the archive in its place.
  void commit();

 private:
  struct Entry {
    std::string name;
    uint64_t size = 0, offset = 0;
    uint32_t crc = 0;
  };

  AtomicFile file_;
  std::vector<Entry> entries_;
  uint64_t position_ = 0;
};

}  // namespace aviary
