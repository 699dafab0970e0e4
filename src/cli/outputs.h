// What a command reads is never what it writes: every command with an output asks here first.
#pragma once

#include <filesystem>
#include <vector>

namespace aviary::cli {

// Throws Error if `output` is a file that the command reads, under this name or another one (links). `inputs`
// are its paths as they were given; "", "-" and "bytes" are no files. All files of a run belong together, and
// so do all files of a folder of Hugging Face, and a model and its packed weights.
void require_apart(const std::filesystem::path& output, const std::vector<std::filesystem::path>& inputs);
// The same for several files, such as those of a folder.
void require_apart(const std::vector<std::filesystem::path>& outputs,
                   const std::vector<std::filesystem::path>& inputs);

}  // namespace aviary::cli
