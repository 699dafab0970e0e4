#include "tensor/buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/memory.h"

namespace aviary {
namespace {

constexpr int64_t map_from = 1 << 16;     // smaller buffers come from the heap
constexpr int64_t check_from = 16 << 20;  // larger ones must fit into what is left

// The system promises more memory than it has and ends the program when it is used.
bool can_have(int64_t bytes) {
  if (bytes < check_from) return true;
  const int64_t available = available_memory();
  return available == 0 || bytes <= available;
}

}  // namespace

Buffer::Buffer(int64_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  if (bytes >= map_from && can_have(bytes)) {
    void* pages =
        mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages != MAP_FAILED) {
      madvise(pages, static_cast<size_t>(bytes), MADV_HUGEPAGE);
      data_ = pages;
    }
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
    munmap(data_, static_cast<size_t>(bytes_));
  else
    std::free(data_);
}

}  // namespace aviary
