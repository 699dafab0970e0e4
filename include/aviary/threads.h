// The number of threads that the library computes with: one pool, shared by all models of the process.
#pragma once

#include <aviary/export.h>

namespace aviary {

// Number of workers, including the calling thread; the default is the number of cores that this process may
// use: taskset and the limits of a container count.
AVIARY_API int threads();
inline constexpr int most_threads = 1024;
// Throws Error unless 1 <= count <= most_threads. Must not be called while another thread computes. Results
// do not depend on it, bit for bit.
AVIARY_API void set_threads(int count);

}  // namespace aviary
