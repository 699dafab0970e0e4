// Products as oneDNN executes them: primitives kept by shape, one thread each.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "kernels/matmul.h"

namespace aviary::kernels {

// Makes oneDNN run on the calling thread alone while it lives: our pool has shared the work already.
class SingleThreaded {
 public:
  SingleThreaded();
  ~SingleThreaded();
  SingleThreaded(const SingleThreaded&) = delete;
  SingleThreaded& operator=(const SingleThreaded&) = delete;

 private:
  int before_ = 0;
};

// dst [m, n] = src [m, k] weights [k, n], or +=; strides in elements. Factors are f32 or bf16, sums f32.
struct PlanKey {
  int64_t m, n, k;
  int64_t src_row, src_column;
  int64_t weight_row, weight_column;  // both 0: in the layout of packed_weights()
  int64_t dst_row;
  Precision precision;
  bool accumulate;
  auto operator<=>(const PlanKey&) const = default;
};

struct Plan {
  dnnl::memory::desc src, weights, dst, scratchpad;
  dnnl::matmul primitive;
  bool brgemm;  // oneDNN's blocked product: the only one known to keep the contract of matmul.h
};

// The plan for a key, made at its first use. Throws dnnl::error where oneDNN has no such product.
// Thread-safe.
std::shared_ptr<const Plan> plan_for(const PlanKey& key);

// The layout of weights [k, n] that oneDNN prefers. Throws dnnl::error as plan_for().
dnnl::memory::desc packed_weights(int64_t k, int64_t n, Precision precision);

// A view of memory that someone else owns.
dnnl::memory view(const dnnl::memory::desc& desc, const void* data);

void execute(const Plan& plan, const void* src, const dnnl::memory& weights, float* dst);

// Where a blocked layout keeps its elements: (row, column) is at rows[row] + columns[column].
struct BlockedLayout {
  std::vector<int64_t> rows, columns;
};
// Throws dnnl::error (unimplemented) unless the matrix is laid out in blocks and nothing else.
BlockedLayout blocked_layout(const dnnl::memory::desc& desc);

}  // namespace aviary::kernels
