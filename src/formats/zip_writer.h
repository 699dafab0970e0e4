// Writes a zip archive of stored (uncompressed) entries, as torch.load requires.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "formats/bytes.h"

namespace aviary {

// Sizes and offsets are always written with 64 bits, so that small and very large archives use the same code.
// The data of every entry begins at a multiple of 64 bytes. The same entries give the same bytes.
class ZipWriter {
 public:
  explicit ZipWriter(const std::filesystem::path& path) : file_(path) {}

  // Begins an entry of `size` bytes with the CRC-32 `crc`; exactly that many bytes must be written next.
  void begin(std::string name, uint64_t size, uint32_t crc);
  void write(Bytes bytes);
  // Both in one call, for data in memory.
  void add(std::string name, std::string_view data);
  // Writes the directory and moves the finished archive to its path.
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
