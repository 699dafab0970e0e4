// Counts what a program takes from operator new: link the .cpp beside this and every call is counted.
#pragma once

#include <cstdint>

namespace aviary {

struct Allocations {
  int64_t calls, bytes;  // since the program began
};
Allocations allocations();

}  // namespace aviary
