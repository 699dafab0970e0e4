// All that Aviary asks of the operating system beyond the C++ standard library. Only
// src/base/platform_linux.cpp includes headers of the system; a port to another one is another such file.
//
// Functions that may fail report the system's reason in `error`, which is cleared when they succeed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <system_error>

namespace aviary::platform {

enum class FileKind : uint8_t { regular, folder, other };  // other: a pipe or a device

struct FileStatus {
  FileKind kind = FileKind::other;
  int64_t size = 0;      // bytes
  int64_t modified = 0;  // when it was last written, in nanoseconds since 1970
};

enum class Open : uint8_t {
  read,
  read_without_waiting,  // does not wait until another process writes into a pipe
  create                 // to write; error is errc::file_exists when there is such a file
};

// An open file or folder; closed when the value is destroyed. Only for one thread at a time.
class File {
 public:
  File() = default;
  File(const std::filesystem::path& path, Open how, std::error_code& error);
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  bool is_open() const { return descriptor_ >= 0; }
  FileStatus status(std::error_code& error) const;
  // Bytes read; 0 at the end of the file.
  size_t read(std::span<std::byte> bytes, std::error_code& error);
  void write(std::span<const std::byte> bytes, std::error_code& error);
  // Waits until what was written is on the disk.
  void sync(std::error_code& error);
  void close(std::error_code& error);
  // Takes the lock of this file or folder until it is closed, also by the end of the process. False when
  // another open File has it; true where the file system knows no locks.
  bool try_lock();
  // The first `size` bytes of a regular file, read-only. They stay after the file is closed, until unmap().
  std::span<const std::byte> map(size_t size, std::error_code& error) const;

 private:
  int descriptor_ = -1;
};

// What File::map or map_pages gave.
void unmap(std::span<const std::byte> bytes);
// Gives the memory of the whole pages in `part` of a mapped file back; it is read from the file again when
// needed.
void drop_pages(std::span<const std::byte> part);
// Reads a mapped file into memory, several times as fast as touching its pages one by one.
void fetch_pages(std::span<const std::byte> bytes);
// Zeroed memory straight from the system, in large pages where it has them; empty when there is none.
std::span<std::byte> map_pages(size_t bytes);

// Bytes of memory; 0 where the system does not tell.
int64_t current_memory();  // in use by this process
int64_t peak_memory();     // the most in use at once since reset_peak_memory(), or else since the start
// Gives unused memory back to the system and begins to measure the peak anew.
void reset_peak_memory();
// What this machine has, or what the control group (cgroup v1 or v2) of this process may use, as in a
// container. `root` is where the system's own files lie (for tests).
int64_t total_memory(const std::filesystem::path& root = "/");
// How much more memory can be used: the least of what the machine can give, swap included, and what is left
// to the control groups of this process, not counting swap.
int64_t available_memory(const std::filesystem::path& root = "/");

int64_t process_id();

// Columns of the terminal that `out` writes to; 0 when it is no terminal, 80 when the terminal does not say.
int terminal_width(std::FILE* out);

// Writing to a pipe that nobody reads from is an error from now on, not the end of the process.
void ignore_broken_pipes();

// While this lives, SIGINT and SIGTERM call `handler` with the number of the signal, and system calls that
// they interrupt go on. Create and destroy it on the main thread. The handlers before come back afterwards.
class StopSignals {
 public:
  explicit StopSignals(void (*handler)(int));
  ~StopSignals();

 private:
  struct Old;
  std::unique_ptr<Old> old_;
};

// Does the CPU, a 64-bit ARM one, have the instructions SDOT and UDOT? (On x86 the compiler knows how to
// ask.)
bool arm_has_dot_products();

}  // namespace aviary::platform
