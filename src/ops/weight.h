// A parameter as used by operators, in four parts:
//   storage    its numbers: float32 or float64 that can change, or stored numbers of a file, in its type;
//   products   its packed matrices, in the layout that products on this CPU read;
//   gradient   while it is trained;
//   adapters   low-rank matrices that are added to it. linear() (ops/linear.cpp) adds their products to its
//              own, so the numbers and packed matrices of the weight stay as they are, whatever their type.
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

// The layout of a matrix: `out_in` as in torch.nn.Linear (y = x W^T), `in_out` as in low-rank projections (y
// = x W).
enum class Layout : uint8_t { out_in, in_out };

// The numbers of a weight as stored in a file.
struct StoredNumbers {
  Dtype type = Dtype::f32;                      // one of weight_types (numbers/encoding.h)
  std::span<const std::byte> bytes;             // may be unaligned
  std::shared_ptr<const void> owner = nullptr;  // owner of the bytes
  bool transposed = false;                      // a matrix with its two axes swapped
};

// Called with stored bytes that have been packed and will hardly be needed again.
using Released = std::function<void(std::span<const std::byte>)>;

struct Adapter;

// Not thread-safe, with one exception: after pack(), or for a weight that is not used in products, all
// functions called by operators only read, so any number of threads may run a model.
class Weight {
 public:
  Weight() = default;
  // All numbers are zero.
  Weight(std::string name, Shape shape, Dtype dtype) : Weight(std::move(name), shape, dtype, {}) {
    value_ = OwnedTensor(shape_, dtype_);
  }
  // A weight without numbers yet: allocate(), adopt(), store() or adopt_packed() provides them.
  static Weight without_numbers(std::string name, Shape shape, Dtype dtype) {
    return {std::move(name), shape, dtype, {}};
  }

  const std::string& name() const { return name_; }
  const Shape& shape() const { return shape_; }
  Dtype dtype() const { return dtype_; }  // in which operators compute

  // ---- Storage

  // Allocates zeros, unless it already has numbers.
  void allocate();
  // Takes over the f32 numbers of the buffer, in the order of the shape.
  void adopt(Buffer numbers);
  // Sets stored numbers, which do not change. Only for f32 weights. Throws Error if their number is wrong, or
  // a stack is transposed.
  void store(StoredNumbers numbers);
  bool is_stored() const { return stored_.owner != nullptr; }
  // Empty for a stored weight, and for one of which only the packed matrices are left.
  const Tensor& value() const { return value_.view(); }
  // Decodes stored numbers to float32 values.
  void decode_values();
  // Decodes row `row` of a stored table. Not for a transposed one.
  void decode_row(int64_t row, float* values) const;
  // The type and size in bytes of the numbers, stored or as values.
  Dtype stored_type() const { return is_stored() ? stored_.type : dtype_; }
  int64_t bytes() const { return is_stored() ? std::ssize(stored_.bytes) : shape_.count() * size_of(dtype_); }
  bool has_numbers() const { return is_stored() || packed_ || !value_.empty(); }
  // To be called after the value has changed: matrices are repacked when next needed.
  void changed() { forward_stale_ = backward_stale_ = true; }

  // ---- Gradient

  // Empty unless the weight is trained; operators add to it.
  const Tensor& gradient() const { return gradient_; }
  bool trainable() const { return !gradient_.empty(); }
  // Whether it can be trained, that is, its numbers can change.
  bool changeable() const { return !is_stored() && !packed_; }
  // Allocates a zero gradient, or frees it. Throws Error for a weight that cannot change.
  void set_trainable(bool trainable);
  // Whether a gradient is to reach it: it is trained, or one of its adapters is.
  bool leads_to_trained() const;
  // Makes the weight trainable with a gradient in the caller's memory, which must be zeros in its shape,
  // until set_trainable(false).
  void set_gradient(const Tensor& gradient);

  // ---- Adapters

  // For a matrix of products y = x W^T (Layout::out_in). Throws Error if the sizes do not match.
  void add_adapter(std::shared_ptr<Adapter> adapter);
  std::span<const std::shared_ptr<Adapter>> adapters() const { return adapters_; }
  // Adds the products B A to the numbers and forgets the adapters. Throws Error for a weight that cannot
  // change.
  void merge_adapters();

  // ---- Products

  // Packs the matrix B of y = x B, or each matrix of a stack (a weight of rank 3), and those of the adapters,
  // for products that round float32 numbers to `precision`. Afterwards the numbers no longer change, and
  // those that are not stored are freed. A matrix [out, in] stored as f16, bf16 or in a block format, not
  // transposed, keeps its type. float64 weights are not packed. Does nothing if already packed, by pack() or
  // adopt_packed(), in the same way.
  void pack(Layout layout, kernels::Precision precision, const Released& released = {});
  // Whether the matrices have the number, sizes and type that pack() gives.
  bool can_adopt(Layout layout, kernels::Precision precision,
                 std::span<const kernels::PackedMatrix> matrices) const;
  // Replaces pack(): takes over matrices packed by another process. Call can_adopt() first.
  void adopt_packed(std::vector<kernels::PackedMatrix> matrices);
  // The packed matrices: none yet, or those of the stack.
  std::span<const kernels::PackedMatrix> packed() const { return forward_; }

  // The matrix B, or matrix `index` of a stack. If pack() was not called, packs it now, and again after
  // changed(). Throws Error if pack() was called for another precision, and for a stored weight that was
  // never packed.
  const kernels::PackedMatrix& forward(Layout layout, kernels::Precision precision, int64_t index = 0) {
    if (!packed_)
      repack(forward_, forward_stale_, layout == Layout::in_out, precision);
    else if (!is_packed_as(layout, precision, forward_)) [[unlikely]]
      refuse(layout, precision);
    return forward_[static_cast<size_t>(index)];
  }
  // dx [M, K] = dy [M, N] B^T, or dx += dy B^T when `accumulate`; with the given row strides.
  void multiply_back(Layout layout, kernels::Precision precision, int64_t index, const float* dy,
                     int64_t rows, int64_t dy_stride, float* dx, int64_t dx_stride, bool accumulate);

 private:
  struct NoNumbers {};
  Weight(std::string name, Shape shape, Dtype dtype, NoNumbers)
      : name_(std::move(name)), shape_(shape), dtype_(dtype) {}

  // All numbers decoded to float32, in the order of the shape.
  OwnedTensor decoded() const;
  size_t matrices() const { return shape_.rank() == 3 ? static_cast<size_t>(shape_[0]) : 1; }
  // Whether the rows of the stored matrix are the columns of B, which can be packed directly.
  bool packs_stored_rows(Layout layout) const {
    return is_stored() && shape_.rank() == 2 &&
           layout == (stored_.transposed ? Layout::in_out : Layout::out_in);
  }
  // The type of the matrices packed by pack().
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
  // Packs W or its transpose, as B [K, N], from float32 values.
  void pack_values(const Tensor& values, std::vector<kernels::PackedMatrix>& matrices, bool rows_are_k,
                   kernels::Precision precision) const;
  void repack(std::vector<kernels::PackedMatrix>& matrices, bool& stale, bool rows_are_k,
              kernels::Precision precision);

  std::string name_;
  Shape shape_;
  Dtype dtype_ = Dtype::f32;

  OwnedTensor value_;
  StoredNumbers stored_;

  OwnedTensor own_gradient_;  // empty if the gradient is in the caller's memory
  Tensor gradient_;

  std::vector<kernels::PackedMatrix> forward_, backward_;  // one per matrix of a stack
  bool forward_stale_ = true, backward_stale_ = true;
  bool packed_ = false;  // permanently, by pack() or adopt_packed()

  std::vector<std::shared_ptr<Adapter>> adapters_;
};

// W + B A instead of a matrix W [out, in] (LoRA: Hu et al. 2021, arXiv 2106.09685). B contains the scale of
// the adapter.
struct Adapter {
  Weight a;  // [r, in]
  Weight b;  // [out, r]
};

}  // namespace aviary
