#include "base/memory.h"

#include <malloc.h>

#include <fstream>
#include <string>

namespace aviary {

int64_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (int64_t kibibytes = 0; word == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
  return 0;
}

void reset_peak_memory() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << 5;  // proc(5): sets the peak back to what is in use now
}

}  // namespace aviary
