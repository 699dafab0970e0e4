#include "cli/outputs.h"

#include "base/error.h"
#include "checkpoints/packed_file.h"
#include "formats/folder.h"
#include "train/run_folder.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

void append(std::vector<fs::path>& files, std::vector<fs::path> more) {
  files.insert(files.end(), more.begin(), more.end());
}

// All that is read, or belongs to what is read, when a command is given this path.
std::vector<fs::path> files_of(const fs::path& input) {
  if (input.empty() || input == "-" || input == "bytes") return {};
  std::error_code ignored;
  std::vector<fs::path> files{input, packed_path(input)};
  if (fs::is_directory(input, ignored)) {
    append(files, files_of_folder(input));
    append(files, files_of_run(input));
  } else if (const fs::path folder = input.parent_path(); is_run(folder)) {
    append(files, files_of_run(folder));
  }
  return files;
}

}  // namespace

void require_apart(const fs::path& output, const std::vector<fs::path>& inputs) {
  std::error_code ignored;
  for (const fs::path& input : inputs)
    for (const fs::path& file : files_of(input))
      require(!fs::equivalent(file, output, ignored),
              "{}: cannot be written, since it is {}; name another file for the output", output.string(),
              file == input ? "read by the same command" : fmt::format("a file of {}", input.string()));
}

void require_apart(const std::vector<fs::path>& outputs, const std::vector<fs::path>& inputs) {
  for (const fs::path& output : outputs) require_apart(output, inputs);
}

}  // namespace aviary::cli
