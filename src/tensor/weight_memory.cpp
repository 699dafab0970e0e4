#include "tensor/weight_memory.h"

#include <algorithm>
#include <mutex>

namespace aviary {
namespace {

constexpr int64_t page = int64_t{2} << 20, line = 64;
constexpr int64_t largest_chunk = int64_t{64} << 20;

int64_t round_up_to(int64_t bytes, int64_t unit) { return (bytes + unit - 1) / unit * unit; }

// Address of the next allocation.
struct Chunk {
  std::mutex mutex;
  std::weak_ptr<const Buffer> memory;
  char *next = nullptr, *end = nullptr;
  int64_t size = page;  // of the next chunk: small, so that small models use little memory
};

Chunk& current() {
  static Chunk chunk;
  return chunk;
}

}  // namespace

WeightMemory::WeightMemory(int64_t bytes) : bytes_(bytes) {
  const int64_t wanted = round_up_to(bytes, line);
  Chunk& chunk = current();
  std::lock_guard lock(chunk.mutex);
  std::shared_ptr<const Buffer> memory = chunk.memory.lock();
  if (!memory) chunk.next = chunk.end = nullptr, chunk.size = page;
  if (chunk.end - chunk.next < wanted) {
    const int64_t size = std::max(round_up_to(wanted, page), chunk.size);
    chunk.size = std::min(2 * size, largest_chunk);
    memory = std::make_shared<const Buffer>(size + page);  // to align the start to a page
    const auto begin = reinterpret_cast<uintptr_t>(memory->data());
    chunk.next = static_cast<char*>(memory->data()) +
                 (round_up_to(static_cast<int64_t>(begin), page) - static_cast<int64_t>(begin));
    chunk.end = chunk.next + size;
    chunk.memory = memory;
  }
  owner_ = std::move(memory);
  data_ = chunk.next;
  chunk.next += wanted;
}

}  // namespace aviary
