// A parameter as the operators see it: its value, its gradient, and its repacked copies for matrix products.
//
// A weight at rest has no value of its own: it is what a file stores, in the file's type. Products pack it
// from there, rows are decoded as they are looked up.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/matmul.h"
#include "tensor/tensor.h"

namespace aviary {

// How a matrix is stored: `out_in` as torch.nn.Linear does (y = x W^T), `in_out` as those of low-rank
// projections are (y = x W).
enum class Layout : uint8_t { out_in, in_out };

// Who owns the numbers of weights at rest.
class Rest {
 public:
  virtual ~Rest() = default;
  // These were packed for products and may not be needed again.
  virtual void packed(std::span<const std::byte>) const {}
};

class Weight {
 public:
  Weight() = default;
  Weight(std::string name, Shape shape, Dtype dtype)
      : name_(std::move(name)), shape_(shape), dtype_(dtype), value_(shape, dtype) {}

  const std::string& name() const { return name_; }
  // Empty when the weight is frozen and only its packed copy is left. Of a weight at rest, all numbers
  // decoded, from the first call on.
  const Tensor& value() const {
    if (value_.empty() && at_rest()) decode_value();
    return value_.view();
  }
  // f of every number, in the shape of the value. A weight that changes no more computes it once; it has one
  // f.
  const Tensor& derived(double (*f)(double)) const;
  const Shape& shape() const { return shape_; }
  Dtype dtype() const { return dtype_; }

  // Instead of the value it had: the buffer's f32 numbers, of the shape.
  void adopt(Buffer numbers) {
    value_ = OwnedTensor(std::move(numbers), shape_, dtype_);
    changed();
  }
  // What forward() packed: nothing yet, or the matrices of the stack.
  std::span<const kernels::PackedMatrix> packed() const { return forward_; }
  // Instead of packing a frozen weight: what packed() of such a weight was.
  void adopt_packed(std::vector<kernels::PackedMatrix> matrices) {
    forward_ = std::move(matrices);
    forward_stale_ = false;
  }
  // Puts the weight at rest: `data` of `owner` are its numbers as `type`, or those of its transpose. It
  // changes no more. For f32 weights.
  void rest(Dtype type, std::span<const std::byte> data, std::shared_ptr<const Rest> owner,
            bool transposed = false);
  bool at_rest() const { return owner_ != nullptr; }
  // Of the numbers as they rest, or of the value.
  int64_t bytes() const { return at_rest() ? std::ssize(rest_) : shape_.count() * size_of(dtype_); }
  Dtype rest_type() const { return at_rest() ? rest_type_ : dtype_; }
  // Row `row` of a matrix at rest, decoded. Not of a transposed one.
  void decode_row(int64_t row, float* values) const;
  // Empty unless the weight is being trained; operators add to it.
  const Tensor& gradient() const { return gradient_; }
  // Allocates a zero gradient, or gives it back.
  void set_trainable(bool trainable) {
    if (trainable == !gradient_.empty()) return;
    own_gradient_ = trainable ? OwnedTensor(shape(), dtype_) : OwnedTensor();
    gradient_ = own_gradient_.view();
  }
  // Trains the weight with a gradient in the caller's memory, zeros in its shape, until set_trainable(false).
  void set_gradient(const Tensor& gradient) {
    own_gradient_ = OwnedTensor();
    gradient_ = gradient;
  }
  bool trainable() const { return !gradient_.empty(); }

  // To be called after the value has changed: the packed copies are made anew when next needed.
  void changed() {
    forward_stale_ = backward_stale_ = true;
    derived_ = OwnedTensor();
  }

  // The value changes no more: when it is packed for products, the packed copy is all that is kept.
  void freeze() { frozen_ = true; }

  // The matrix B of y = x B, and of dx = dy B, for f32 values; matrix `index` if the weight has rank 3: a
  // stack of them. A weight [out, in] at rest in f16, bf16 or a block format, not transposed, stays in that
  // type, whatever the precision. Throws Error when a frozen weight is packed as something else than before.
  const kernels::PackedMatrix& forward(Layout layout, kernels::Precision precision, int64_t index = 0);
  const kernels::PackedMatrix& backward(Layout layout, kernels::Precision precision, int64_t index = 0);

 private:
  const kernels::PackedMatrix& packed(std::vector<kernels::PackedMatrix>& matrices, bool& stale,
                                      bool rows_are_k, kernels::Precision precision, int64_t index);
  // What a weight at rest is packed as.
  Dtype type_packed(kernels::Precision precision) const {
    return rest_type_ == Dtype::f32 || transposed_ ? kernels::type_of(precision) : rest_type_;
  }
  void pack_at_rest(kernels::Precision precision);
  void decode_value() const;

  std::string name_;
  Shape shape_;
  Dtype dtype_ = Dtype::f32;
  mutable OwnedTensor value_;  // of a weight at rest: made when somebody asks for it
  mutable OwnedTensor derived_;
  OwnedTensor own_gradient_;  // empty when the gradient is the caller's
  Tensor gradient_;
  Dtype rest_type_ = Dtype::f32;
  std::span<const std::byte> rest_;
  std::shared_ptr<const Rest> owner_;
  bool transposed_ = false;                                // what rests
  std::vector<kernels::PackedMatrix> forward_, backward_;  // one per matrix of the stack
  bool forward_stale_ = true, backward_stale_ = true, frozen_ = false;
};

}  // namespace aviary
