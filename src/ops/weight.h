// A parameter as the operators see it: its value, its gradient, and its repacked copies for matrix products.
#pragma once

#include <string>
#include <vector>

#include "kernels/matmul.h"
#include "tensor/tensor.h"

namespace aviary {

// How a matrix is stored: `out_in` as torch.nn.Linear does (y = x W^T), `in_out` as LoRA matrices are (y = x
// W).
enum class Layout : uint8_t { out_in, in_out };

class Weight {
 public:
  Weight() = default;
  Weight(std::string name, Shape shape, Dtype dtype)
      : name_(std::move(name)), shape_(shape), value_(shape, dtype) {}

  const std::string& name() const { return name_; }
  // Empty when the weight is frozen and only its packed copy is left.
  const Tensor& value() const { return value_.view(); }
  const Shape& shape() const { return shape_; }
  // Empty unless the weight is being trained; operators add to it.
  const Tensor& gradient() const { return gradient_.view(); }
  // Allocates a zero gradient, or gives it back.
  void set_trainable(bool trainable) {
    if (trainable == !gradient_.empty()) return;
    gradient_ = trainable ? OwnedTensor(shape(), value().dtype()) : OwnedTensor();
  }
  bool trainable() const { return !gradient_.empty(); }

  // To be called after the value has changed: the packed copies are made anew when next needed.
  void changed() { forward_stale_ = backward_stale_ = true; }

  // The value changes no more: when it is packed for products, the packed copy is all that is kept.
  void freeze() { frozen_ = true; }

  // The matrix B of y = x B, and of dx = dy B, for f32 values; matrix `index` if the weight has rank 3: a
  // stack of them. Throws Error when a frozen weight is packed as something else than before.
  const kernels::PackedMatrix& forward(Layout layout, kernels::Precision precision, int64_t index = 0);
  const kernels::PackedMatrix& backward(Layout layout, kernels::Precision precision, int64_t index = 0);

 private:
  const kernels::PackedMatrix& packed(std::vector<kernels::PackedMatrix>& matrices, bool& stale,
                                      bool rows_are_k, kernels::Precision precision, int64_t index);

  std::string name_;
  Shape shape_;
  OwnedTensor value_, gradient_;
  std::vector<kernels::PackedMatrix> forward_, backward_;  // one per matrix of the stack
  bool forward_stale_ = true, backward_stale_ = true, frozen_ = false;
};

}  // namespace aviary
