#include "train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"
#include "train/trainer.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

// The temporary files of base/files.h.
void remove_half_written(const fs::path& folder) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".aviary-") && name.ends_with(".tmp")) fs::remove(entry.path(), ignored);
  }
}

}  // namespace

std::optional<RunFolder> RunFolder::try_hold(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  RunFolder folder(path, descriptor);
  // A file system without locks is no reason not to train.
  if (descriptor >= 0 && ::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return {};
  remove_half_written(path);
  return folder;
}

RunFolder RunFolder::hold(const fs::path& path) {
  std::optional<RunFolder> folder = try_hold(path);
  require(folder.has_value(),
          "{}: another process is training in this folder; wait for it, stop it, or name another folder with "
          "--out",
          path.string());
  return std::move(*folder);
}

RunFolder::RunFolder(RunFolder&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

RunFolder::~RunFolder() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool can_begin(const fs::path& folder) {
  auto has = [&](const char* name) { return fs::exists(folder / name); };
  if (fs::exists(folder) && !fs::is_directory(folder)) return false;
  if (has("checkpoint.safetensors") || has("model.safetensors")) return false;
  if (!has("config.json")) return !has("log.jsonl") && !has("loss.svg");
  try {
    read_run_config(folder);
    return true;
  } catch (const Error&) {  // a config.json of something else
    return false;
  }
}

}  // namespace aviary
