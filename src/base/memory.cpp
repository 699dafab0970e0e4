#include "base/memory.h"

#include <malloc.h>

#include <fstream>
#include <string>

namespace aviary {

namespace {

// A line of proc(5), in bytes.
int64_t from_status(std::string_view name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (int64_t kibibytes = 0; word == name && status >> kibibytes) return kibibytes * 1024;
  return 0;
}

}  // namespace

int64_t peak_memory() { return from_status("VmHWM:"); }

int64_t current_memory() { return from_status("VmRSS:"); }

void reset_peak_memory() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << 5;  // proc(5): sets the peak back to what is in use now
}

}  // namespace aviary
