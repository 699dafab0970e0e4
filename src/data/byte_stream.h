// The bytes of a file as they are read from the front, decompressed if its name ends in .gz or .zst.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace aviary {

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Bytes that were read; 0 at the end. Throws Error, beginning with the name of the file, for broken or
  // cut-off compressed data.
  virtual size_t read(std::span<char> bytes) = 0;
};

// The whole file is never in memory. Throws Error if it cannot be opened, or is no regular file.
std::unique_ptr<ByteStream> open_stream(const std::filesystem::path& path);

// The path without .gz or .zst at its end.
std::filesystem::path without_compression(const std::filesystem::path& path);

}  // namespace aviary
