// How much memory this process takes.
#pragma once

#include <cstdint>

namespace aviary {

// The most memory, in bytes, that was in use at once since the last reset_peak_memory() or else since the
// start; 0 where the system does not tell.
int64_t peak_memory();
// The memory that is in use now; 0 where the system does not tell.
int64_t current_memory();
// What the machine can still give, swap included; 0 where the system does not tell.
int64_t available_memory();
// Gives unused memory back to the system and begins to measure anew.
void reset_peak_memory();

}  // namespace aviary
