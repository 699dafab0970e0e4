// The version from CMakeLists.txt, as reported by the library and the program.
#include <aviary/version.h>

namespace aviary {

const char* version() { return AVIARY_VERSION; }

}  // namespace aviary
