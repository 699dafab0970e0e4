#include "train/run_folder.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "train/trainer.h"

namespace aviary {

namespace fs = std::filesystem;

std::optional<RunFolder> RunFolder::try_hold(const fs::path& path) {
  std::error_code ignored;
  platform::File folder_file(path, platform::Open::read, ignored);
  if (folder_file.is_open() && !folder_file.try_lock()) return {};
  remove_abandoned_files(path);
  return RunFolder(path, std::move(folder_file));
}

RunFolder RunFolder::hold(const fs::path& path) {
  std::optional<RunFolder> folder = try_hold(path);
  require(folder.has_value(),
          "{}: another process is training in this folder; wait for it, stop it, or name another folder with "
          "--out",
          path.string());
  return std::move(*folder);
}

bool is_run(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / "checkpoint.safetensors", ignored);
}

namespace {

constexpr const char* results[] = {"model.safetensors", "adapter.safetensors", "state.safetensors"};

}  // namespace

std::vector<fs::path> files_of_run(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const char* name : {"config.json", "checkpoint.safetensors", "log.jsonl", "samples.jsonl", "loss.svg"})
    files.push_back(folder / name);
  for (const char* name : results) files.push_back(folder / name);
  return files;
}

bool can_begin(const fs::path& folder) {
  auto has = [&](const char* name) { return fs::exists(folder / name); };
  if (fs::exists(folder) && !fs::is_directory(folder)) return false;
  if (has("checkpoint.safetensors")) return false;
  if (std::any_of(std::begin(results), std::end(results), has)) return false;
  if (!has("config.json")) return !has("log.jsonl") && !has("loss.svg");
  try {
    read_run_config(folder);
    return true;
  } catch (const Error&) {  // a config.json of another program
    return false;
  }
}

}  // namespace aviary
