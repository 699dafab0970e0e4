// Memory for packed weights: pieces side by side on large pages, so that reading them one after the other
// does not wait for the addresses of small pages (measured: 24 instead of 36 GB/s), or what a file holds.
#pragma once

#include <memory>
#include <span>

#include "tensor/buffer.h"

namespace aviary {

class WeightMemory {
 public:
  WeightMemory() = default;
  // Zeroed, aligned to a cache line. The memory goes back when the last piece of its neighborhood is gone.
  // Throws Error when there is not enough.
  explicit WeightMemory(int64_t bytes);
  // Bytes of `owner`, only to be read.
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
