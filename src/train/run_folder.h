// The folder of a run on disk: who may write into it, and when a new run may begin there.
#pragma once

#include <filesystem>
#include <optional>
#include <utility>

#include "base/platform.h"

namespace aviary {

// Holds a folder for this process, so that no other one trains in it. The system lets go of it when the
// process ends, however it ends.
class RunFolder {
 public:
  // Nothing when another process holds the folder. Temporary files that killed processes left in it are
  // removed.
  static std::optional<RunFolder> try_hold(const std::filesystem::path& path);
  // Throws Error when another process holds the folder.
  static RunFolder hold(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }

 private:
  RunFolder(const std::filesystem::path& path, platform::File lock) : path_(path), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  platform::File lock_;
};

// May a new run begin in this folder without writing over anything? In one without files of a run, or with a
// run that was stopped before its first checkpoint.
bool can_begin(const std::filesystem::path& folder);

}  // namespace aviary
