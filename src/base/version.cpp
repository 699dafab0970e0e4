// The version that CMakeLists.txt names, as the library and the program report it.
#include <aviary/version.h>

namespace aviary {

const char* version() { return AVIARY_VERSION; }

}  // namespace aviary
