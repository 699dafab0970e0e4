// The one pool of threads. Work is split statically: what is computed together never depends on timing, even
// where it depends on timing which thread does it.
#pragma once

#include <aviary/threads.h>

#include <cstdint>
#include <type_traits>

namespace aviary {

namespace detail {
using RangeFunction = void (*)(void* context, int64_t begin, int64_t end, int worker);
void parallel_ranges(int64_t count, int64_t grain, RangeFunction function, void* context);
}  // namespace detail

// Calls body(begin, end) or body(begin, end, worker) on contiguous parts of [0, count), one part per worker,
// no part smaller than `grain` unless it is the only one. Returns when all are done; the first exception
// thrown by a part is rethrown. A parallel_for inside a parallel_for runs on the calling worker alone.
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
