// The gradient of a step as the sum over virtual workers, whichever ranks they are on.
#pragma once

#include <vector>

#include "ranks/ranks.h"
#include "tensor/tensor.h"

namespace aviary {

// A step is divided among a fixed number of workers, each of which reads its own sequences. Their gradients
// are added in a binary tree: workers 0 and 1, 2 and 3, ..., then these sums. A rank has consecutive workers,
// a subtree, so the sum has the same bits for any number of ranks.
class WorkerSum {
 public:
  // workers: a power of two, at least the number of ranks. rounded: the terms of every sum are rounded to
  // bfloat16, and sent as such. Throws Error if there are more ranks than workers.
  WorkerSum(Ranks& ranks, int64_t workers, bool rounded);

  int64_t workers() const { return workers_; }
  Range own() const { return own_; }  // the workers of this rank

  // To be called after each of them, in order, with the gradient [count] of that worker alone. It is then
  // zeroed, after the last one the sum of all of them. The memory of log2(own workers) gradients is kept.
  void add(const Tensor& gradient);
  // Then: adds the sums of all ranks; each gets the part that is its shard.
  void reduce(const Tensor& gradient, const Shards& shards);
  // Forgets what was added since the last sum of all.
  void reset() { added_ = 0; }

 private:
  Ranks& ranks_;
  int64_t workers_;
  bool rounded_;
  Range own_;
  int64_t added_ = 0;
  std::vector<OwnedTensor> sums_;  // i: of 2^i workers, waiting for that of the next as many
};

}  // namespace aviary
