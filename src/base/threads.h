// The thread pool of the process. Work is divided statically: which elements are computed together never
// depends on timing, even if timing decides which thread computes them.
#pragma once

#include <aviary/threads.h>

#include <cstdint>
#include <type_traits>

namespace aviary {

namespace detail {
using RangeFunction = void (*)(void* context, int64_t begin, int64_t end, int worker);
void parallel_ranges(int64_t count, int64_t grain, RangeFunction function, void* context);
}  // namespace detail

// Calls body(begin, end) or body(begin, end, worker) on contiguous parts of [0, count), at most one part per
// worker, no part smaller than `grain` unless it is the only one. Returns when all are done; the first
// exception thrown by a part is rethrown. A parallel_for inside a parallel_for runs on the calling worker
// only.
template <typename Body>
void parallel_for(int64_t count, int64_t grain, Body&& body) {
  using Function = std::remove_reference_t<Body>;
  auto call = [](void* context, int64_t begin, int64_t end, int worker) {
    auto& function = *static_cast<Function*>(context);
    if constexpr (std::is_invocable_v<Function&, int64_t, int64_t, int>)
      function(begin, end, worker);
    else
      static_cast<void>(worker), function(begin, end);
  };
  detail::parallel_ranges(count, grain, call, const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace aviary
