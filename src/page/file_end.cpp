#include "page/file_end.h"

#include <algorithm>
#include <fstream>
#include <system_error>

namespace aviary {

std::string end_of_file(const std::filesystem::path& path, int64_t bytes) {
  std::error_code none;
  if (!std::filesystem::is_regular_file(path, none)) return {};  // a pipe would keep the reader waiting
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const int64_t size = file ? static_cast<int64_t>(file.tellg()) : 0;
  if (size <= 0) return {};
  std::string text(static_cast<size_t>(std::min(size, bytes)), '\0');
  file.seekg(size - std::ssize(text));
  file.read(text.data(), std::ssize(text));
  text.resize(static_cast<size_t>(std::max<int64_t>(file.gcount(), 0)));
  if (size > bytes) text.erase(0, text.find('\n') + 1);
  return text;
}

}  // namespace aviary
