#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <functional>
#include <limits>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

std::string reason(int error) { return std::generic_category().message(error); }

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int number() const { return number_; }

 private:
  int number_;
};

void sync_folder(const fs::path& folder, const fs::path& file) {
  Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems cannot sync a folder (EINVAL); a folder may be writable but not readable (EACCES).
  if (descriptor.number() < 0 && errno == EACCES) return;
  if (descriptor.number() < 0 || (::fsync(descriptor.number()) != 0 && errno != EINVAL))
    fail("{}: written, but its folder cannot be synced to disk: {}", file.string(), reason(errno));
}

}  // namespace

MappedFile::MappedFile(const fs::path& path) {
  // O_NONBLOCK: opening a pipe that nobody writes to must not wait.
  Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (descriptor.number() < 0) fail("{}: cannot open the file: {}", path.string(), reason(errno));
  struct stat status {};
  if (::fstat(descriptor.number(), &status) != 0) fail("{}: cannot stat: {}", path.string(), reason(errno));
  require(!S_ISDIR(status.st_mode), "{}: is a folder, expected a file", path.string());
  require(S_ISREG(status.st_mode), "{}: is a pipe or a device, expected a regular file", path.string());
  require(status.st_size > 0, "{}: the file is empty", path.string());
  require(static_cast<uint64_t>(status.st_size) <= std::numeric_limits<size_t>::max(),
          "{}: {} bytes are more than this machine can address", path.string(), status.st_size);
  size_t size = static_cast<size_t>(status.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.number(), 0);
  if (address == MAP_FAILED)
    fail("{}: cannot map {} bytes into memory: {}", path.string(), size, reason(errno));
  bytes_ = {static_cast<const std::byte*>(address), size};
  modified_ = status.st_mtim.tv_sec * int64_t{1'000'000'000} + status.st_mtim.tv_nsec;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})), modified_(other.modified_) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(modified_, other.modified_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::drop(std::span<const std::byte> part) const {
  if (part.empty() || std::less<>()(part.data(), bytes_.data()) ||
      std::less<>()(bytes_.data() + bytes_.size(), part.data() + part.size()))
    return;
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const auto offset = static_cast<size_t>(part.data() - bytes_.data());  // the mapping begins with a page
  const size_t begin = (offset + page - 1) / page * page, end = (offset + part.size()) / page * page;
  if (begin < end) ::madvise(const_cast<std::byte*>(bytes_.data()) + begin, end - begin, MADV_DONTNEED);
}

void MappedFile::fetch() const {
#ifdef MADV_POPULATE_READ  // a kernel that does not know it says so, and reading does the work
  if (!bytes_.empty()) ::madvise(const_cast<std::byte*>(bytes_.data()), bytes_.size(), MADV_POPULATE_READ);
#endif
}

std::string read_file(const fs::path& path, int64_t max_bytes) {
  Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor.number() < 0) fail("{}: cannot open the file: {}", path.string(), reason(errno));
  std::string content;
  for (;;) {
    constexpr size_t piece = size_t{1} << 16;
    size_t filled = content.size();
    content.resize(std::max(filled + piece, content.capacity()));
    ssize_t count = ::read(descriptor.number(), content.data() + filled, content.size() - filled);
    if (count < 0 && errno == EISDIR) fail("{}: is a folder, expected a file", path.string());
    if (count < 0 && errno != EINTR) fail("{}: cannot read the file: {}", path.string(), reason(errno));
    content.resize(filled + static_cast<size_t>(std::max<ssize_t>(count, 0)));
    if (static_cast<int64_t>(content.size()) > max_bytes)
      fail("{}: the file holds more than the {} bytes expected at most", path.string(), max_bytes);
    if (count == 0) return content;
  }
}

AtomicFile::AtomicFile(const fs::path& path) : path_(path) {
  std::error_code ignored;
  if (fs::is_symlink(path_, ignored)) {
    fs::path target = fs::canonical(path_, ignored);
    if (!target.empty()) path_ = target;
  }
  struct stat old {};
  bool replaces = ::stat(path_.c_str(), &old) == 0;
  require(!replaces || !S_ISDIR(old.st_mode), "{}: cannot write the file: a folder has this name",
          path.string());
  require(!replaces || S_ISREG(old.st_mode), "{}: cannot write the file: a pipe or a device has this name",
          path.string());
  require(path_.has_filename(), "{}: cannot write the file: the path ends with a slash", path.string());
  for (int number = 0;; ++number) {
    temporary_ = path_.parent_path() / fmt::format(".aviary-{}-{}.tmp", ::getpid(), number);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ >= 0) break;
    if (errno == ENOENT && path_.has_parent_path() && !fs::exists(path_.parent_path()))
      fail("{}: cannot create the file: there is no folder {}", path_.string(), path_.parent_path().string());
    if (errno != EEXIST) fail_to("create");
  }
  // Not every file system has modes: the file is then written with the default one.
  if (replaces && ::fchmod(descriptor_, old.st_mode & 07777) != 0) errno = 0;
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::fail_to(const char* action) const {
  fail("{}: cannot {} the file: {}", path_.string(), action, reason(errno));
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  assert(descriptor_ >= 0);
  while (!bytes.empty()) {
    size_t piece = std::min(bytes.size(), size_t{1} << 30);
    ssize_t count = ::write(descriptor_, bytes.data(), piece);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_to("write");
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void AtomicFile::commit() {
  assert(descriptor_ >= 0);
  if (::fsync(descriptor_) != 0) fail_to("sync");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_to("replace");
  int descriptor = std::exchange(descriptor_, -1);
  if (::close(descriptor) != 0) fail_to("close");
  fs::path folder = path_.parent_path();
  sync_folder(folder.empty() ? fs::path(".") : folder, path_);
}

void write_file_atomically(const fs::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void make_folders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error && !fs::is_directory(path, error)) error = std::make_error_code(std::errc::not_a_directory);
  if (error) fail("{}: cannot create the folder: {}", path.string(), error.message());
}

}  // namespace aviary
