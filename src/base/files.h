// Files: read-only mappings, reading with a size limit, and atomic writing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "base/platform.h"

namespace aviary {

// A regular file mapped read-only. The bytes keep their address when the MappedFile is moved, and remain
// readable when the file is replaced or removed. A mapping cannot protect against another program that
// truncates the file in place (platform::tell_lost_pages).
class MappedFile {
 public:
  MappedFile() = default;
  // Throws Error if the file is missing, a folder, a device, empty, or not readable.
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  // Modification time in nanoseconds since 1970.
  int64_t modified() const { return modified_; }
  // Releases the memory of a part of bytes(); it is read from the file again when needed. Does nothing for
  // bytes that are not part of this file.
  void drop(std::span<const std::byte> part) const;
  // Maps all pages at once, several times as fast as on first access.
  void fetch() const;

 private:
  std::span<const std::byte> bytes_;
  int64_t modified_ = 0;
};

// The whole content of a regular file. Throws Error for anything else, since a pipe could keep the reader
// waiting for ever, and if there are more than `max_bytes` bytes.
std::string read_file(const std::filesystem::path& path, int64_t max_bytes);

// The same for a path that a user gave: pipes and devices are read to their end, too.
std::string read_file_or_pipe(const std::filesystem::path& path, int64_t max_bytes);

// The same; "-" names the standard input.
std::string read_input(const std::filesystem::path& path, int64_t max_bytes);

// Writes a temporary file in the folder of `path` and renames it to `path` in commit(), so that at any moment
// `path` is either the complete old file or the complete new one. Symbolic links are followed, also to a file
// that does not exist yet; the mode of an existing file is kept. What killed processes left in this folder is
// removed. Every failure is an Error that names the file and the system's reason.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  // Without a commit, the temporary file is removed and `path` is unchanged.
  ~AtomicFile();

  // Unbuffered, one system call each: pass large pieces.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  // Syncs the file, renames it, syncs the folder. Do not write afterwards.
  void commit();

 private:
  [[noreturn]] void fail_to(const char* action, const std::error_code& error) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  platform::File file_;
};

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
inline void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

// Removes the temporary files of AtomicFile that killed processes left in a folder, and none that is being
// written.
void remove_abandoned_files(const std::filesystem::path& folder);

// Creates the folder and its parents; it may exist already.
void make_folders(const std::filesystem::path& path);

// "PATH: cannot be accessed: REASON", of an exception of std::filesystem, which speaks of its functions. It
// is thrown where a folder on the way to a file may not be read, or where links go in a circle.
std::string sentence_of(const std::filesystem::filesystem_error& error);

}  // namespace aviary
