// Working memory of one thread: grows to the largest size requested, then allocates nothing.
#pragma once

#include "tensor/buffer.h"

namespace aviary::kernels {

class AlignedScratch {
 public:
  // Contents are undefined; valid until the next call.
  float* floats(int64_t count) {
    const int64_t bytes = count * static_cast<int64_t>(sizeof(float));
    if (buffer_.bytes() < bytes) buffer_ = Buffer(bytes);
    return static_cast<float*>(buffer_.data());
  }

 private:
  Buffer buffer_;
};

}  // namespace aviary::kernels
