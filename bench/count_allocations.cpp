// In a separate file: if g++ can inline only one of the two operators, it reports a mismatched pair.
#include "count_allocations.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<int64_t> calls{0}, bytes{0};
}  // namespace

void* operator new(size_t size) {
  ++calls;
  bytes += static_cast<int64_t>(size);
  if (void* memory = std::malloc(std::max<size_t>(size, 1))) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace aviary {
Allocations allocations() { return {calls, bytes}; }
}  // namespace aviary
