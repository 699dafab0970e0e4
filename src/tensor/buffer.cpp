#include "tensor/buffer.h"

#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/platform.h"

namespace aviary {
namespace {

constexpr int64_t map_from = 1 << 16;     // smaller buffers come from the heap
constexpr int64_t check_from = 16 << 20;  // larger ones must fit into the available memory

// Linux promises more memory than it has, and kills the program when the memory is used.
bool can_have(int64_t bytes) {
  if (bytes < check_from) return true;
  const int64_t available = platform::available_memory();
  return available == 0 || bytes <= available;
}

}  // namespace

Buffer::Buffer(int64_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  if (bytes >= map_from && can_have(bytes)) {
    data_ = platform::map_pages(static_cast<size_t>(bytes)).data();
  } else if (bytes < map_from) {
    data_ = std::aligned_alloc(64, static_cast<size_t>((bytes + 63) / 64 * 64));
    if (data_) std::memset(data_, 0, static_cast<size_t>(bytes));
  }
  require(data_ != nullptr,
          "out of memory: {:.1f} MB could not be allocated; use a smaller model, batch or context",
          static_cast<double>(bytes) / 1e6);
}

Buffer::~Buffer() {
  if (!data_) return;
  if (bytes_ >= map_from)
    platform::unmap(span());
  else
    std::free(data_);
}

}  // namespace aviary
