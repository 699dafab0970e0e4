#include "base/files.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <utility>

#include "base/error.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;
using platform::FileKind, platform::Open;

platform::File open_file(const fs::path& path, Open how) {
  std::error_code error;
  platform::File file(path, how, error);
  if (error) fail("{}: cannot open the file: {}", path.string(), error.message());
  return file;
}

platform::FileStatus require_regular(const platform::File& file, const fs::path& path) {
  std::error_code error;
  const platform::FileStatus status = file.status(error);
  if (error) fail("{}: cannot stat: {}", path.string(), error.message());
  require(status.kind != FileKind::folder, "{}: is a folder, expected a file", path.string());
  require(status.kind == FileKind::regular, "{}: is a pipe or a device, expected a regular file",
          path.string());
  return status;
}

void sync_folder(const fs::path& folder, const fs::path& file) {
  std::error_code error;
  platform::File descriptor(folder, Open::read, error);
  if (error == std::errc::permission_denied) return;  // a folder may be writable but not readable
  if (!error) descriptor.sync(error);
  if (error == std::errc::invalid_argument) return;  // some file systems cannot sync a folder
  if (error) fail("{}: written, but its folder cannot be synced to disk: {}", file.string(), error.message());
}

fs::path folder_of(const fs::path& file) {
  const fs::path folder = file.parent_path();
  return folder.empty() ? fs::path(".") : folder;
}

// The file that a path leads to through symbolic links, whether it exists yet or not.
fs::path behind_links(const fs::path& path) {
  constexpr int most_links = 40;  // as in Linux
  fs::path target = path;
  std::error_code error;
  for (int links = 0; fs::is_symlink(fs::symlink_status(target, error)); ++links) {
    require(links < most_links, "{}: cannot write the file: its links lead in a circle", path.string());
    target = target.parent_path() / fs::read_symlink(target, error);  // or the link alone, if it is absolute
    if (error) fail("{}: cannot follow the link: {}", path.string(), error.message());
  }
  return target;
}

}  // namespace

MappedFile::MappedFile(const fs::path& path) {
  const platform::File file = open_file(path, Open::read_without_waiting);
  const platform::FileStatus status = require_regular(file, path);
  require(status.size > 0, "{}: the file is empty", path.string());
  require(static_cast<uint64_t>(status.size) <= SIZE_MAX,
          "{}: {} bytes are more than this machine can address", path.string(), status.size);
  std::error_code error;
  bytes_ = file.map(static_cast<size_t>(status.size), error);
  if (error) fail("{}: cannot map {} bytes into memory: {}", path.string(), status.size, error.message());
  modified_ = status.modified;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})), modified_(other.modified_) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(modified_, other.modified_);
  return *this;
}

MappedFile::~MappedFile() { platform::unmap(bytes_); }

void MappedFile::drop(std::span<const std::byte> part) const {
  if (part.empty() || std::less<>()(part.data(), bytes_.data()) ||
      std::less<>()(bytes_.data() + bytes_.size(), part.data() + part.size()))
    return;
  platform::drop_pages(part);
}

void MappedFile::fetch() const { platform::fetch_pages(bytes_); }

namespace {

std::string read_all(platform::File file, const fs::path& path, int64_t max_bytes) {
  std::string content;
  for (;;) {
    constexpr size_t piece = size_t{1} << 16;
    const size_t filled = content.size();
    content.resize(std::max(filled + piece, content.capacity()));
    std::error_code error;
    const size_t count = file.read(std::as_writable_bytes(std::span(content).subspan(filled)), error);
    if (error == std::errc::is_a_directory) fail("{}: is a folder, expected a file", path.string());
    if (error) fail("{}: cannot read the file: {}", path.string(), error.message());
    content.resize(filled + count);
    if (static_cast<int64_t>(content.size()) > max_bytes)
      fail("{}: the file holds more than the {} bytes expected at most", path.string(), max_bytes);
    if (count == 0) return content;
  }
}

}  // namespace

std::string read_file(const fs::path& path, int64_t max_bytes) {
  platform::File file = open_file(path, Open::read_without_waiting);
  require_regular(file, path);
  return read_all(std::move(file), path, max_bytes);
}

std::string read_file_or_pipe(const fs::path& path, int64_t max_bytes) {
  return read_all(open_file(path, Open::read), path, max_bytes);
}

std::string read_input(const fs::path& path, int64_t max_bytes) {
  if (path != "-") return read_file_or_pipe(path, max_bytes);
  std::string content;
  for (;;) {
    constexpr size_t piece = size_t{1} << 16;
    const size_t filled = content.size();
    content.resize(std::max(filled + piece, content.capacity()));
    const size_t count = std::fread(content.data() + filled, 1, content.size() - filled, stdin);
    content.resize(filled + count);
    require(!std::ferror(stdin), "the standard input cannot be read: {}", std::strerror(errno));
    require(std::ssize(content) <= max_bytes,
            "the standard input has more than the {} bytes expected at most", max_bytes);
    if (count == 0) return content;
  }
}

AtomicFile::AtomicFile(const fs::path& path) : path_(behind_links(path)) {
  std::error_code ignored;
  const fs::file_status old = fs::status(path_, ignored);
  const bool replaces = fs::exists(old);
  require(!fs::is_directory(old), "{}: cannot write the file: a folder has this name", path.string());
  require(!replaces || fs::is_regular_file(old),
          "{}: cannot write the file: a pipe or a device has this name", path.string());
  require(path_.has_filename(), "{}: cannot write the file: the path ends with a slash", path.string());
  for (int number = 0; !file_.is_open(); ++number) {
    temporary_ = path_.parent_path() / fmt::format(".aviary-{}-{}.tmp", platform::process_id(), number);
    std::error_code error;
    file_ = platform::File(temporary_, Open::create, error);
    if (error == std::errc::no_such_file_or_directory && path_.has_parent_path() &&
        !fs::exists(path_.parent_path()))
      fail("{}: cannot create the file: there is no folder {}", path_.string(), path_.parent_path().string());
    if (error && error != std::errc::file_exists) fail_to("create", error);
    // Locked until it is closed, against remove_abandoned_files, which may have been faster.
    if (file_.is_open() && (!file_.try_lock() || !fs::exists(temporary_, ignored))) file_ = {};
  }
  remove_abandoned_files(folder_of(path_));
  // Some file systems have no modes; the file is then written with the default one.
  if (replaces) fs::permissions(temporary_, old.permissions(), ignored);
}

AtomicFile::~AtomicFile() {
  std::error_code ignored;
  if (file_.is_open()) fs::remove(temporary_, ignored);
}

void AtomicFile::fail_to(const char* action, const std::error_code& error) const {
  fail("{}: cannot {} the file: {}", path_.string(), action, error.message());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  assert(file_.is_open());
  std::error_code error;
  file_.write(bytes, error);
  if (error) fail_to("write", error);
}

void AtomicFile::commit() {
  assert(file_.is_open());
  std::error_code error;
  file_.sync(error);
  if (error) fail_to("sync", error);
  fs::rename(temporary_, path_, error);
  if (error) fail_to("replace", error);
  file_.close(error);
  if (error) fail_to("close", error);
  sync_folder(folder_of(path_), path_);
}

void write_file_atomically(const fs::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void remove_abandoned_files(const fs::path& folder) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(".aviary-") || !name.ends_with(".tmp")) continue;
    platform::File file(entry.path(), Open::read_without_waiting, ignored);
    if (file.is_open() && file.try_sure_lock()) fs::remove(entry.path(), ignored);
  }
}

void make_folders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error && !fs::is_directory(path, error)) error = std::make_error_code(std::errc::not_a_directory);
  if (error) fail("{}: cannot create the folder: {}", path.string(), error.message());
}

std::string sentence_of(const fs::filesystem_error& error) {
  return fmt::format("{}: cannot be accessed: {}", error.path1().string(), error.code().message());
}

}  // namespace aviary
