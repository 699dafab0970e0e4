// Memory for packed weights: either allocated next to each other on large pages, so that reading them
// sequentially is not slowed down by TLB misses (measured with small pages: 24 instead of 36 GB/s), or part
// of a mapped file.
#pragma once

#include <memory>
#include <span>

#include "tensor/buffer.h"

namespace aviary {

class WeightMemory {
 public:
  WeightMemory() = default;
  // Zeroed, aligned to a cache line. A chunk is freed with the last allocation in it. Throws Error if there
  // is not enough memory.
  explicit WeightMemory(int64_t bytes);
  // Read-only bytes that belong to `owner`.
  WeightMemory(std::span<const std::byte> bytes, std::shared_ptr<const void> owner)
      : owner_(std::move(owner)),
        data_(const_cast<std::byte*>(bytes.data())),
        bytes_(std::ssize(bytes)),
        writable_(false) {}

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  bool writable() const { return writable_; }

 private:
  std::shared_ptr<const void> owner_;
  void* data_ = nullptr;
  int64_t bytes_ = 0;
  bool writable_ = true;
};

}  // namespace aviary
