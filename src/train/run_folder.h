// The run folder on disk: locking, and when a new run may start in it.
#pragma once

#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "base/platform.h"

namespace aviary {

// Locks a folder for this process, so that no other process trains in it. The system releases the lock when
// the process ends in any way.
class RunFolder {
 public:
  // Nothing if another process holds the folder. Temporary files of killed processes are removed.
  static std::optional<RunFolder> try_hold(const std::filesystem::path& path);
  // Throws Error if another process holds the folder.
  static RunFolder hold(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }

 private:
  RunFolder(const std::filesystem::path& path, platform::File lock) : path_(path), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  platform::File lock_;
};

// Whether a new run can start in this folder without overwriting anything: it has no files of a run, or those
// of a run that was stopped before its first checkpoint.
bool can_begin(const std::filesystem::path& folder);

// Whether the folder has a run with a checkpoint.
bool is_run(const std::filesystem::path& folder);

// The files of a run in its folder, whether they exist yet or not.
std::vector<std::filesystem::path> files_of_run(const std::filesystem::path& folder);

}  // namespace aviary
