// Memory of one step: allocated in order, freed all at once. After the first step nothing is allocated from
// the system.
#pragma once

#include <cstddef>
#include <vector>

#include "tensor/tensor.h"

namespace aviary {

class Arena {
 public:
  // Uninitialized memory, aligned to 64 bytes, valid until reset().
  void* allocate(int64_t bytes);
  Tensor tensor(Shape shape, Dtype dtype) { return {allocate(shape.count() * size_of(dtype)), shape, dtype}; }

  // Gradients are short-lived: memory passed to release() is returned by the next reserve() of the same size,
  // which keeps the backward pass in the caches.
  Tensor reserve(Shape shape, Dtype dtype);
  void release(const Tensor& tensor);

  // rewind() frees everything allocated after the mark.
  struct Mark {
    size_t blocks = 0;
    int64_t offset = 0, used = 0;
  };
  Mark mark() const { return {blocks_.size(), offset_, used_}; }
  void rewind(const Mark& mark);

  // Frees everything; the memory is kept for reuse, as one block.
  void reset();
  int64_t used() const { return used_; }

 private:
  struct Free {
    int64_t bytes;
    std::vector<void*> blocks;
  };
  std::vector<Free>::iterator free_list(int64_t bytes);

  std::vector<Buffer> blocks_;
  std::vector<Free> free_;
  int64_t offset_ = 0;  // in the last block
  int64_t used_ = 0;    // since the last reset
  int64_t most_ = 0;    // the largest value of used_
};

}  // namespace aviary
