// Everything that Aviary needs from the operating system beyond the C++ standard library. Only
// src/base/platform_linux*.cpp include system headers; a port to another system is other such files.
//
// Functions that can fail report the system's reason in `error`, which is cleared on success.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

namespace aviary::platform {

enum class FileKind : uint8_t { regular, folder, other };  // other: a pipe or a device

struct FileStatus {
  FileKind kind = FileKind::other;
  int64_t size = 0;      // bytes
  int64_t modified = 0;  // modification time in nanoseconds since 1970
};

enum class Open : uint8_t {
  read,
  read_without_waiting,  // does not block on a pipe without a writer
  create                 // for writing; error is errc::file_exists if the file exists
};

// An open file or folder, closed by the destructor. Must not be used by two threads at once.
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
  // Waits until all written data is on the disk.
  void sync(std::error_code& error);
  void close(std::error_code& error);
  // Locks this file or folder until it is closed, at the latest by the end of the process. False if another
  // open File has the lock; true if the file system does not support locks.
  bool try_lock();
  // The same, but false also if the file system does not support locks.
  bool try_sure_lock();
  // Maps the first `size` bytes of a regular file, read-only. They remain valid after the file is closed,
  // until unmap().
  std::span<const std::byte> map(size_t size, std::error_code& error) const;

 private:
  int descriptor_ = -1;
};

// Unmaps the result of File::map or map_pages.
void unmap(std::span<const std::byte> bytes);
// Releases the memory of all pages inside `part` of a mapped file; it is read from the file again when
// needed.
void drop_pages(std::span<const std::byte> part);
// Reads a mapped file into memory, several times as fast as accessing its pages one by one.
void fetch_pages(std::span<const std::byte> bytes);
// Zeroed memory directly from the system, in large pages if possible; empty if there is not enough.
std::span<std::byte> map_pages(size_t bytes);

// Bytes of memory; 0 if unknown.
int64_t current_memory();  // in use by this process
int64_t peak_memory();     // peak since reset_peak_memory(), or since the start
// Returns unused memory to the system and restarts the measurement of the peak.
void reset_peak_memory();
// The memory of this machine, or the limit of the control group (cgroup v1 or v2) of this process, for
// example in a container. `root` is the root of the system's files (for tests).
int64_t total_memory(const std::filesystem::path& root = "/");
// How much more memory can be used: the minimum of the available memory of the machine, including swap, and
// the remaining limits of the control groups of this process, excluding swap.
int64_t available_memory(const std::filesystem::path& root = "/");
// The cores that this process may keep busy, at least 1: those on which it may run (taskset, cpusets), or as
// many as the time of its control groups allows (`docker run --cpus`), rounded down.
int available_cores(const std::filesystem::path& root = "/");

// The cores on which this process may run: character i is 1 if core i is one of them, else 0; empty if that
// is unknown.
std::string allowed_cores();

int64_t process_id();
// The file of the program that runs in this process; empty if it is unknown.
std::filesystem::path program_file();
// The process that holds the lock of a file or folder (File::try_lock); 0 if none does, or if the system does
// not tell. The lock itself is left alone, so a process that wants it is not disturbed.
int64_t lock_holder(const std::filesystem::path& path);
// Asks a process to stop, as Ctrl-C does. False if there is none that this one may ask.
bool interrupt_process(int64_t id);

// A program that was started beside this one. It ends neither with this object nor with this process, and
// Ctrl-C on the terminal of this process does not reach it. Must not be used by two threads at once.
class ChildProcess {
 public:
  ChildProcess() = default;  // none
  // Starts `program` with these arguments, each as it is: no shell reads them. Its input is empty; what it
  // prints is appended to the file `output`, which is made if it is missing. `error` tells why it could not
  // be started.
  ChildProcess(const std::filesystem::path& program, const std::vector<std::string>& arguments,
               const std::filesystem::path& output, std::error_code& error);

  int64_t id() const { return id_; }
  // The exit code, 128 + signal if a signal has ended it; nothing while it runs. Calls after its end release
  // what the system keeps of it.
  std::optional<int> exit_code();
  // Asks it to stop, as Ctrl-C does.
  void interrupt();
  // Ends it at once.
  void kill();

 private:
  int64_t id_ = 0;  // 0: it has ended, or was not started
  std::optional<int> code_;
};

// Columns of the terminal that `out` writes to; 0 if it is not a terminal, 80 if unknown.
int terminal_width(std::FILE* out);

// Whether the standard input is a terminal.
bool input_is_terminal();
// The value of an environment variable; empty if it is not set. For the program: library code reads none.
std::string environment_variable(const char* name);

// While this object exists, the terminal of the standard input gives every key at once, without showing it,
// and Ctrl-C, Ctrl-Z and Ctrl-\ are keys like others. `error` is set if it is no terminal.
class RawTerminal {
 public:
  explicit RawTerminal(std::error_code& error);
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

  // Waits for bytes of keys; false after `seconds`.
  bool wait_for_bytes(double seconds) const;
  // Bytes read; 0 at the end of the input.
  size_t read(std::span<std::byte> bytes, std::error_code& error);

 private:
  struct Old;
  std::unique_ptr<Old> old_;
};

// From now on, the process ends with a sentence on stderr and the exit code 1 when a page of a mapped file
// cannot be read, because the file was cut short or the disk fails. (For the program: a library leaves the
// signals of its process alone.)
void tell_lost_pages();

// From now on, writing to a closed pipe or connection is an error and does not end the process.
void ignore_broken_pipes();

struct SocketAddress {
  std::string host;  // "127.0.0.1" or "::1"
  int port = 0;
};

// A TCP socket, closed by the destructor. Must not be used by two threads at once.
class Socket {
 public:
  Socket() = default;
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();

  // Accepts connections to an address or name of this machine; port 0 is any free one. Of the addresses of a
  // name, one of IPv4 is preferred.
  static Socket listen(const std::string& host, int port, std::error_code& error);
  // Connects to an address or name, with at most `seconds` for each of its addresses.
  static Socket connect(const std::string& host, int port, double seconds, std::error_code& error);

  bool is_open() const { return descriptor_ >= 0; }
  SocketAddress local_address() const;
  // Waits until read() does not wait; false after `seconds`.
  bool wait_for_bytes(double seconds, std::error_code& error);
  // Bytes read; 0 when the other side has ended.
  size_t read(std::span<std::byte> bytes, std::error_code& error);
  // Writes everything; errc::timed_out if nothing could be written for `seconds`.
  void write(std::span<const std::byte> bytes, double seconds, std::error_code& error);
  // Tells the other side that nothing more follows; reading goes on.
  void end_writing();
  // Gives the descriptor to the caller, who closes it.
  int release();

 private:
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

// The address of the other side of a connection; an IPv4 address that is written as IPv6 is given as IPv4.
SocketAddress peer_address(int descriptor);
// From now on, small pieces are sent at once instead of being collected.
void send_at_once(int descriptor);
// Tells the other side that nothing more follows; reading goes on.
void end_writing(int descriptor);
// Raises the limit of open files of this process, as far as it may, to at least `count`.
void allow_open_files(int64_t count);

// While this object exists, SIGINT, SIGTERM, SIGUSR1 (which mpirun passes on at once) and, unless it was
// ignored before (nohup), SIGHUP call `handler` with the signal number, and interrupted system calls are
// restarted. Create and destroy it on the main thread. The destructor restores the previous handlers.
class StopSignals {
 public:
  explicit StopSignals(void (*handler)(int));
  ~StopSignals();

 private:
  struct Old;
  std::unique_ptr<Old> old_;
};

// Whether the signal says that the terminal was closed (SIGHUP).
bool is_hang_up(int signal);

// Whether a 64-bit ARM CPU has the instructions SDOT and UDOT. (On x86 the compiler provides such checks.)
bool arm_has_dot_products();

}  // namespace aviary::platform
