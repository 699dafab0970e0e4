// Memory aligned to a cache line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace aviary {

class Buffer {
 public:
  Buffer() = default;
  // Zeroed pages, directly from the system. Throws Error if there is not enough memory.
  explicit Buffer(int64_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }

  void* data() const { return data_; }
  std::span<std::byte> span() const { return {static_cast<std::byte*>(data_), static_cast<size_t>(bytes_)}; }
  int64_t bytes() const { return bytes_; }

 private:
  void swap(Buffer& other) {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }

  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace aviary
