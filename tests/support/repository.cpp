#include "support/repository.h"

namespace aviary {

const std::filesystem::path& repository() {
  static const std::filesystem::path path = AVIARY_SOURCE_DIR;
  return path;
}

}  // namespace aviary
