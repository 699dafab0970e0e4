#include <fcntl.h>
#include <malloc.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <csignal>
#include <utility>

#include "base/platform.h"

namespace aviary::platform {
namespace {

// Handles the result of a system call, which is negative on failure.
template <typename Result>
Result checked(Result result, std::error_code& error) {
  error = result < 0 ? std::error_code(errno, std::generic_category()) : std::error_code();
  return result;
}

// Repeats a call that was interrupted by a signal.
template <typename Call>
auto repeated(Call call, std::error_code& error) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return checked(result, error);
}

int flags_of(Open how) {
  switch (how) {
    case Open::read:
      return O_RDONLY | O_CLOEXEC;
    case Open::read_without_waiting:
      return O_RDONLY | O_CLOEXEC | O_NONBLOCK;
    case Open::create:
      break;
  }
  return O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
}

// The functions for mappings take pointers to writable memory even if they do not write.
void* address_of(std::span<const std::byte> bytes) { return const_cast<std::byte*>(bytes.data()); }

}  // namespace

File::File(const std::filesystem::path& path, Open how, std::error_code& error)
    : descriptor_(checked(::open(path.c_str(), flags_of(how), 0666), error)) {}

File::File(File&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

FileStatus File::status(std::error_code& error) const {
  struct stat status {};
  if (checked(::fstat(descriptor_, &status), error) < 0) return {};
  return {.kind = S_ISREG(status.st_mode)   ? FileKind::regular
                  : S_ISDIR(status.st_mode) ? FileKind::folder
                                            : FileKind::other,
          .size = status.st_size,
          .modified = status.st_mtim.tv_sec * int64_t{1'000'000'000} + status.st_mtim.tv_nsec};
}

size_t File::read(std::span<std::byte> bytes, std::error_code& error) {
  const ssize_t count = repeated([&] { return ::read(descriptor_, bytes.data(), bytes.size()); }, error);
  return static_cast<size_t>(std::max<ssize_t>(count, 0));
}

void File::write(std::span<const std::byte> bytes, std::error_code& error) {
  error.clear();
  while (!bytes.empty() && !error) {
    const size_t piece = std::min(bytes.size(), size_t{1} << 30);
    const ssize_t count = repeated([&] { return ::write(descriptor_, bytes.data(), piece); }, error);
    if (!error) bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void File::sync(std::error_code& error) { checked(::fsync(descriptor_), error); }

void File::close(std::error_code& error) { checked(::close(std::exchange(descriptor_, -1)), error); }

bool File::try_lock() { return ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK; }

bool File::try_sure_lock() { return ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0; }

std::span<const std::byte> File::map(size_t size, std::error_code& error) const {
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor_, 0);
  checked(address == MAP_FAILED ? -1 : 0, error);
  if (error) return {};
  return {static_cast<const std::byte*>(address), size};
}

void unmap(std::span<const std::byte> bytes) {
  if (!bytes.empty()) ::munmap(address_of(bytes), bytes.size());
}

void drop_pages(std::span<const std::byte> part) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<uintptr_t>(part.data());
  const uintptr_t begin = (first + page - 1) / page * page, end = (first + part.size()) / page * page;
  if (begin < end)
    ::madvise(static_cast<std::byte*>(address_of(part)) + (begin - first), end - begin, MADV_DONTNEED);
}

void fetch_pages(std::span<const std::byte> bytes) {
#ifdef MADV_POPULATE_READ  // a kernel without support returns an error; then the pages are read on access
  if (!bytes.empty()) ::madvise(address_of(bytes), bytes.size(), MADV_POPULATE_READ);
#else
  static_cast<void>(bytes);
#endif
}

std::span<std::byte> map_pages(size_t bytes) {
  // A large page begins at a multiple of its size, so room to begin there is mapped and the rest given back.
  constexpr size_t large_page = size_t{2} << 20;
  const size_t room = bytes >= large_page ? large_page : 0;
  void* pages = ::mmap(nullptr, bytes + room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return {};
  std::span<std::byte> mapped(static_cast<std::byte*>(pages), bytes + room);
  if (room > 0) {
    const size_t before = (large_page - reinterpret_cast<uintptr_t>(pages) % large_page) % large_page;
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    const size_t used = (bytes + page - 1) / page * page;
    unmap(mapped.first(before));
    if (before + used < mapped.size()) unmap(mapped.subspan(before + used));
    mapped = mapped.subspan(before, bytes);
  }
  ::madvise(mapped.data(), bytes, MADV_HUGEPAGE);
  return mapped;
}

void reset_peak_memory() {
  ::malloc_trim(0);
  std::error_code ignored;  // proc(5): resets the peak to the current value
  const int descriptor = ::open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  static_cast<void>(!::write(descriptor, "5", 1));
  ::close(descriptor);
}

int64_t process_id() { return ::getpid(); }

int terminal_width(std::FILE* out) {
  const int descriptor = ::fileno(out);
  if (descriptor < 0 || !::isatty(descriptor)) return 0;
  winsize size{};
  return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void ignore_broken_pipes() { std::signal(SIGPIPE, SIG_IGN); }

struct StopSignals::Old {
  struct sigaction interrupt, terminate, user, hang_up;
};

StopSignals::StopSignals(void (*handler)(int)) : old_(std::make_unique<Old>()) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &old_->interrupt);
  ::sigaction(SIGTERM, &action, &old_->terminate);
  ::sigaction(SIGUSR1, &action, &old_->user);
  ::sigaction(SIGHUP, &action, &old_->hang_up);
  if (old_->hang_up.sa_handler == SIG_IGN) ::sigaction(SIGHUP, &old_->hang_up, nullptr);
}

StopSignals::~StopSignals() {
  ::sigaction(SIGHUP, &old_->hang_up, nullptr);
  ::sigaction(SIGUSR1, &old_->user, nullptr);
  ::sigaction(SIGTERM, &old_->terminate, nullptr);
  ::sigaction(SIGINT, &old_->interrupt, nullptr);
}

bool is_hang_up(int signal) { return signal == SIGHUP; }

bool arm_has_dot_products() {
#ifdef __aarch64__
  return (::getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  return false;
#endif
}

}  // namespace aviary::platform
