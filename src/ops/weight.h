// A parameter as the operators see it, in three parts:
//   storage    its numbers: float32 or float64 that may change, or what a file stores, in the file's type;
//   products   its matrices as matrix products read them, packed for this CPU;
//   gradient   while it is trained.
// An adapter (a low-rank matrix that is added to this one) will be a fourth part, owned by the weight;
// linear() and its kin (ops/linear.cpp) and head_loss() (ops/head_loss.cpp), the only operators that multiply
// with weights, are where its part is added to y and to dx.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/matmul.h"
#include "tensor/tensor.h"

namespace aviary {

// How a matrix is laid out: `out_in` as torch.nn.Linear does (y = x W^T), `in_out` as those of low-rank
// projections are (y = x W).
enum class Layout : uint8_t { out_in, in_out };

// The numbers of a weight as a file stores them.
struct StoredNumbers {
  Dtype type = Dtype::f32;                      // of numbers/encoding.h's weight_types
  std::span<const std::byte> bytes;             // may be unaligned
  std::shared_ptr<const void> owner = nullptr;  // of the bytes
  bool transposed = false;                      // a matrix whose two axes are exchanged
};

// Called with stored bytes that have been packed for products and are hardly needed again.
using Released = std::function<void(std::span<const std::byte>)>;

// Not for two threads at once, except: once pack() was called, or for a weight that is not multiplied, all
// functions that operators call only read, and any number of threads may run a model.
class Weight {
 public:
  Weight() = default;
  // Numbers are zero.
  Weight(std::string name, Shape shape, Dtype dtype) : Weight(std::move(name), shape, dtype, {}) {
    value_ = OwnedTensor(shape_, dtype_);
  }
  // One that has no numbers yet: allocate(), adopt(), store() or adopt_packed() gives it some.
  static Weight without_numbers(std::string name, Shape shape, Dtype dtype) {
    return {std::move(name), shape, dtype, {}};
  }

  const std::string& name() const { return name_; }
  const Shape& shape() const { return shape_; }
  Dtype dtype() const { return dtype_; }  // in which operators compute

  // ---- Storage

  // Zeros, unless it has numbers.
  void allocate();
  // The f32 numbers of the buffer, in the order of the shape.
  void adopt(Buffer numbers);
  // Numbers in a file's type, which do not change. For f32 weights. Throws Error when there are not so many,
  // or a stack is transposed.
  void store(StoredNumbers numbers);
  bool is_stored() const { return stored_.owner != nullptr; }
  // Empty for a stored weight and for one of which only the packed matrices are left.
  const Tensor& value() const { return value_.view(); }
  // Stored numbers become float32 values.
  void decode_values();
  // Row `row` of a stored table, decoded. Not of a transposed one.
  void decode_row(int64_t row, float* values) const;
  // The type of the numbers, and how many bytes they take: as stored, or as values.
  Dtype stored_type() const { return is_stored() ? stored_.type : dtype_; }
  int64_t bytes() const { return is_stored() ? std::ssize(stored_.bytes) : shape_.count() * size_of(dtype_); }
  bool has_numbers() const { return is_stored() || packed_ || !value_.empty(); }
  // To be called after the value has changed: the packed matrices are made anew when next needed.
  void changed() { forward_stale_ = backward_stale_ = true; }

  // ---- Gradient

  // Empty unless the weight is being trained; operators add to it.
  const Tensor& gradient() const { return gradient_; }
  bool trainable() const { return !gradient_.empty(); }
  // Whether it can be trained: its numbers may change.
  bool changeable() const { return !is_stored() && !packed_; }
  // Allocates a zero gradient, or gives it back. Throws Error for a weight that is not changeable.
  void set_trainable(bool trainable);
  // Trains the weight with a gradient in the caller's memory, zeros in its shape, until set_trainable(false).
  void set_gradient(const Tensor& gradient);

  // ---- Products

  // Packs the matrix B of y = x B, or each of a stack (a weight of rank 3), for products whose float32
  // numbers are rounded to `precision`; afterwards the numbers change no more and those that were not stored
  // are gone. A matrix [out, in] that is stored as f16, bf16 or in blocks, not transposed, keeps its type. Of
  // a float64 weight nothing is packed. Nothing is done again, or over adopt_packed() of the same kind.
  void pack(Layout layout, kernels::Precision precision, const Released& released = {});
  // Whether matrices are of the number, sizes and type that pack() makes.
  bool can_adopt(Layout layout, kernels::Precision precision,
                 std::span<const kernels::PackedMatrix> matrices) const;
  // Instead of pack(): what another process packed, after can_adopt().
  void adopt_packed(std::vector<kernels::PackedMatrix> matrices);
  // What has been packed: nothing yet, or the matrices of the stack.
  std::span<const kernels::PackedMatrix> packed() const { return forward_; }

  // The matrix B, `index` of a stack. Packed here, again after changed(), when it was not by pack(). Throws
  // Error when pack() was called for other products, and for a stored weight that was never packed.
  const kernels::PackedMatrix& forward(Layout layout, kernels::Precision precision, int64_t index = 0) {
    if (!packed_)
      repack(forward_, forward_stale_, layout == Layout::in_out, precision);
    else if (!is_packed_as(layout, precision, forward_)) [[unlikely]]
      refuse(layout, precision);
    return forward_[static_cast<size_t>(index)];
  }
  // dx [M, K] = dy [M, N] B^T, or dx += dy B^T when `accumulate`; rows are so far apart.
  void multiply_back(Layout layout, kernels::Precision precision, int64_t index, const float* dy,
                     int64_t rows, int64_t dy_stride, float* dx, int64_t dx_stride, bool accumulate);

 private:
  struct NoNumbers {};
  Weight(std::string name, Shape shape, Dtype dtype, NoNumbers)
      : name_(std::move(name)), shape_(shape), dtype_(dtype) {}

  // All numbers as float32, in the order of the shape.
  OwnedTensor decoded() const;
  size_t matrices() const { return shape_.rank() == 3 ? static_cast<size_t>(shape_[0]) : 1; }
  // Whether the rows of the stored matrix are the columns of B, which are packed as they are.
  bool packs_stored_rows(Layout layout) const {
    return is_stored() && shape_.rank() == 2 &&
           layout == (stored_.transposed ? Layout::in_out : Layout::out_in);
  }
  // The type in which pack() packs.
  Dtype packed_type(Layout layout, kernels::Precision precision) const {
    return packs_stored_rows(layout) && !stored_.transposed && stored_.type != Dtype::f32
               ? stored_.type
               : kernels::type_of(precision);
  }
  bool is_packed_as(Layout layout, kernels::Precision precision,
                    std::span<const kernels::PackedMatrix> matrices) const {
    const int64_t k = shape_[shape_.rank() - (layout == Layout::out_in ? 1 : 2)];
    return matrices[0].k() == k && matrices[0].type() == packed_type(layout, precision);
  }
  void require_changeable() const;
  [[noreturn]] void refuse(Layout layout, kernels::Precision precision) const;
  // Packs W, or its transpose, so that (k, n) is what is needed, from float32 values.
  void pack_values(const Tensor& values, std::vector<kernels::PackedMatrix>& matrices, bool rows_are_k,
                   kernels::Precision precision) const;
  void repack(std::vector<kernels::PackedMatrix>& matrices, bool& stale, bool rows_are_k,
              kernels::Precision precision);

  std::string name_;
  Shape shape_;
  Dtype dtype_ = Dtype::f32;

  OwnedTensor value_;
  StoredNumbers stored_;

  OwnedTensor own_gradient_;  // empty when the gradient is the caller's
  Tensor gradient_;

  std::vector<kernels::PackedMatrix> forward_, backward_;  // one per matrix of the stack
  bool forward_stale_ = true, backward_stale_ = true;
  bool packed_ = false;  // for good, by pack() or adopt_packed()
};

}  // namespace aviary
