#include "base/memory.h"

#include <malloc.h>

#include <fstream>
#include <string>

namespace aviary {

namespace {

// A line of a file of proc(5), in bytes; 0 when it is not there.
int64_t line_of(const char* file, std::string_view name) {
  std::ifstream lines(file);
  for (std::string word; lines >> word;)
    if (int64_t kibibytes = 0; word == name && lines >> kibibytes) return kibibytes * 1024;
  return 0;
}

int64_t from_status(std::string_view name) { return line_of("/proc/self/status", name); }

}  // namespace

int64_t peak_memory() { return from_status("VmHWM:"); }

int64_t available_memory() {
  constexpr const char* file = "/proc/meminfo";
  const int64_t available = line_of(file, "MemAvailable:");
  return available > 0 ? available + line_of(file, "SwapFree:") : 0;
}

int64_t current_memory() { return from_status("VmRSS:"); }

void reset_peak_memory() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << 5;  // proc(5): sets the peak back to what is in use now
}

}  // namespace aviary
