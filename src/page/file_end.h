// The end of a file that grows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace aviary {

// At most the last `bytes` bytes, from the beginning of a line if the file has more; empty if there is no
// such file.
std::string end_of_file(const std::filesystem::path& path, int64_t bytes);

}  // namespace aviary
