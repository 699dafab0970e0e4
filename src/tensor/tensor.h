// A tensor is a view: a pointer, a shape and a type. An Arena or a Buffer owns the memory.
#pragma once

#include <cassert>
#include <concepts>
#include <cstring>
#include <vector>

#include "numbers/dtype.h"
#include "tensor/buffer.h"
#include "tensor/shape.h"

namespace aviary {

class Tensor {
 public:
  Tensor() = default;
  Tensor(void* data, Shape shape, Dtype dtype) : data_(data), shape_(shape), dtype_(dtype) {}

  bool empty() const { return data_ == nullptr; }
  const Shape& shape() const { return shape_; }
  Dtype dtype() const { return dtype_; }
  int64_t count() const { return empty() ? 0 : shape_.count(); }
  int64_t bytes() const { return count() * size_of(dtype_); }
  // The tensor seen as a matrix: the last axis is the columns, all others together are the rows.
  int64_t cols() const { return shape_.rank() == 0 ? 1 : shape_[shape_.rank() - 1]; }
  int64_t rows() const { return count() / cols(); }

  void* data() const { return data_; }
  // Elements; nullptr for an empty tensor. T must match the type: float, double or int32_t.
  template <typename T>
  T* as() const {
    assert(empty() || dtype_of<T>() == dtype_);
    return static_cast<T*>(data_);
  }

  // The same elements with another shape.
  Tensor reshaped(Shape shape) const {
    assert(shape.count() == count());
    return {data_, shape, dtype_};
  }

  // Rows [begin, end) of the matrix, [end - begin, cols()].
  Tensor rows(int64_t begin, int64_t end) const {
    assert(0 <= begin && begin <= end && end <= rows());
    return {static_cast<char*>(data_) + begin * cols() * size_of(dtype_), {end - begin, cols()}, dtype_};
  }

  template <typename T>
  static constexpr Dtype dtype_of() {
    if constexpr (std::same_as<T, float>) return Dtype::f32;
    if constexpr (std::same_as<T, double>) return Dtype::f64;
    if constexpr (std::same_as<T, int32_t>) return Dtype::i32;
  }

 private:
  void* data_ = nullptr;
  Shape shape_;
  Dtype dtype_ = Dtype::f32;
};

// A tensor that owns its memory, zeroed at first: parameters, gradients, states.
class OwnedTensor {
 public:
  OwnedTensor() = default;
  OwnedTensor(Shape shape, Dtype dtype) : OwnedTensor(Buffer(shape.count() * size_of(dtype)), shape, dtype) {}
  // Takes over the numbers in the buffer, which must have exactly their size.
  OwnedTensor(Buffer numbers, Shape shape, Dtype dtype)
      : buffer_(std::move(numbers)), view_(buffer_.data(), shape, dtype) {}

  const Tensor& view() const { return view_; }
  bool empty() const { return view_.empty(); }

 private:
  Buffer buffer_;
  Tensor view_;
};

// The values of an f32 or f64 tensor on the host, as doubles. The only way to read activations outside
// kernels/.
inline std::vector<double> to_host(const Tensor& tensor) {
  std::vector<double> values(static_cast<size_t>(tensor.count()));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] =
        tensor.dtype() == Dtype::f64 ? tensor.as<double>()[i] : static_cast<double>(tensor.as<float>()[i]);
  return values;
}

// The reverse; `values` must have as many elements as the tensor.
inline void from_host(const std::vector<double>& values, const Tensor& tensor) {
  assert(static_cast<int64_t>(values.size()) == tensor.count());
  for (size_t i = 0; i < values.size(); ++i) {
    if (tensor.dtype() == Dtype::f64)
      tensor.as<double>()[i] = values[i];
    else
      tensor.as<float>()[i] = static_cast<float>(values[i]);
  }
}

inline void set_zero(const Tensor& tensor) {
  if (!tensor.empty()) std::memset(tensor.data(), 0, static_cast<size_t>(tensor.bytes()));
}

// Types and sizes must be equal.
inline void copy(const Tensor& from, const Tensor& to) {
  assert(from.dtype() == to.dtype() && from.count() == to.count());
  if (!from.empty()) std::memcpy(to.data(), from.data(), static_cast<size_t>(from.bytes()));
}

}  // namespace aviary
