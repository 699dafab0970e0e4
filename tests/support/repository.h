// Paths of the sources and the golden data, for tests that read them.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace aviary {

const std::filesystem::path& repository();

// A file or folder of tests/golden.
inline std::filesystem::path golden(const std::string& name) { return repository() / "tests/golden" / name; }

// A file below the folder named by an environment variable: AVIARY_SHARED, with models of other programs, or
// AVIARY_GOLDEN, the full golden data; both are too large for the repository. Empty if the file does not
// exist.
inline std::filesystem::path outside(const char* variable, const std::string& name) {
  const char* folder = std::getenv(variable);
  const std::filesystem::path path = std::filesystem::path(folder ? folder : "") / name;
  return folder && std::filesystem::exists(path) ? path : std::filesystem::path();
}
inline std::filesystem::path shared_file(const std::string& name) { return outside("AVIARY_SHARED", name); }

}  // namespace aviary
