// Counts the calls of operator new in a program that links count_allocations.cpp.
#pragma once

#include <cstdint>

namespace aviary {

struct Allocations {
  int64_t calls, bytes;  // since the program started
};
Allocations allocations();

}  // namespace aviary
