// Folders of runs, for the commands that train.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>

#include "train/run_folder.h"
#include "train/trainer.h"

namespace aviary::cli {

// A folder for a new run: the given one, or runs/<name>, with a number if that is taken. Throws Error if
// there is a run, or files that a run would overwrite.
RunFolder new_run_folder(const std::string& out, const std::string& name);

// The same checks, before work is done for the run. Nothing for "".
void require_free(const std::string& out);

// --steps beside --resume, if it was given: the run gets this number of all steps, of the old and the new
// ones. Throws Error if it has done as many.
void take_steps(Trainer& trainer, std::optional<int64_t> steps, const std::filesystem::path& folder);

// A folder that was made for a run into which nothing came.
struct RemoveIfEmpty {
  std::filesystem::path folder;  // empty: none
  ~RemoveIfEmpty() {
    std::error_code ignored;  // when something is in it
    if (!folder.empty()) std::filesystem::remove(folder, ignored);
  }
};

// A run resumes with its own settings: throws Error for a flag or argument beside --resume, unless its name
// is in `allowed`.
void refuse_changes(const CLI::App& command, std::initializer_list<const char*> allowed);

// Throws Error if another rank has another version of the program, or other instructions.
void require_same_program(Ranks& ranks);

// "20 of 100", or "20" while the number of steps is not known.
std::string place_of(const Trainer& trainer);

}  // namespace aviary::cli
