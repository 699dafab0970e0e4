// Folders of runs, for the commands that train.
#pragma once

#include <filesystem>
#include <string>

#include "train/run_folder.h"
#include "train/trainer.h"

namespace aviary::cli {

// A folder for a new run: the given one, or runs/<name>, with a number if that is taken. Throws Error if
// there is a run, or files that a run would overwrite.
RunFolder new_run_folder(const std::string& out, const std::string& name);

// A folder that was made for a run into which nothing came.
struct RemoveIfEmpty {
  std::filesystem::path folder;  // empty: none
  ~RemoveIfEmpty() {
    std::error_code ignored;  // when something is in it
    if (!folder.empty()) std::filesystem::remove(folder, ignored);
  }
};

// "20 of 100", or "20" while the number of steps is not known.
std::string place_of(const Trainer& trainer);

}  // namespace aviary::cli
