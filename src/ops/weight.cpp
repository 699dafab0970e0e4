#include "ops/weight.h"

#include "base/error.h"
#include "numbers/encoding.h"

namespace aviary {

void Weight::rest(Dtype type, std::span<const std::byte> data, std::shared_ptr<const Rest> owner,
                  bool transposed) {
  require(dtype_ == Dtype::f32 && std::ssize(data) == bytes_of(type, shape_.count()),
          "weight {}: {} bytes of {} are not its {} numbers", name_, data.size(), name_of(type),
          shape_.count());
  require(!transposed || shape_.rank() == 2, "weight {}: {} axes cannot rest transposed", name_,
          shape_.rank());
  rest_type_ = type;
  transposed_ = transposed;
  rest_ = data;
  owner_ = std::move(owner);
  value_ = OwnedTensor();
  frozen_ = true;
  changed();
}

void Weight::decode_value() const {
  value_ = OwnedTensor(shape_, Dtype::f32);
  decode(rest_type_, rest_.data(), {value_.view().as<float>(), static_cast<size_t>(shape_.count())});
  if (!transposed_) return;
  const OwnedTensor stored = std::move(value_);
  value_ = OwnedTensor(shape_, Dtype::f32);
  const int64_t rows = shape_[0], cols = shape_[1];
  const float* from = stored.view().as<float>();
  float* to = value_.view().as<float>();
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t col = 0; col < cols; ++col) to[row * cols + col] = from[col * rows + row];
}

const Tensor& Weight::derived(double (*f)(double)) const {
  if (!derived_.empty() && frozen_) return derived_.view();
  if (derived_.empty()) derived_ = OwnedTensor(shape_, dtype_);
  const Tensor &from = value(), &to = derived_.view();
  for (int64_t i = 0; i < from.count(); ++i) {
    if (dtype_ == Dtype::f64)
      to.as<double>()[i] = f(from.as<double>()[i]);
    else
      to.as<float>()[i] = static_cast<float>(f(static_cast<double>(from.as<float>()[i])));
  }
  return derived_.view();
}

void Weight::decode_row(int64_t row, float* values) const {
  const int64_t cols = shape_[shape_.rank() - 1];
  decode(rest_type_, rest_.data() + bytes_of(rest_type_, row * cols), {values, static_cast<size_t>(cols)});
}

// Straight from where it rests.
void Weight::pack_at_rest(kernels::Precision precision) {
  forward_.resize(1);
  forward_[0].pack_stored(rest_type_, rest_.data(), shape_[transposed_ ? 0 : 1], shape_[transposed_ ? 1 : 0],
                          type_packed(precision),
                          [&](std::span<const std::byte> rows) { owner_->packed(rows); });
  forward_stale_ = false;
}

const kernels::PackedMatrix& Weight::packed(std::vector<kernels::PackedMatrix>& matrices, bool& stale,
                                            bool rows_are_k, kernels::Precision precision, int64_t index) {
  const int rank = shape_.rank();
  const int64_t rows = shape_[rank - 2], cols = shape_[rank - 1];
  if (stale || matrices[0].type() != kernels::type_of(precision) ||
      matrices[0].k() != (rows_are_k ? rows : cols)) {
    const float* from = value().as<float>();
    require(from != nullptr, "weight {}: it is frozen and packed for products of another kind", name_);
    matrices.resize(rank == 3 ? static_cast<size_t>(shape_[0]) : 1);
    for (kernels::PackedMatrix& matrix : matrices) {  // W, or its transpose, so that (k, n) is what is needed
      if (rows_are_k)
        matrix.pack(from, rows, cols, cols, 1, precision);
      else
        matrix.pack(from, cols, rows, 1, cols, precision);
      from += rows * cols;
    }
    stale = false;
    if (at_rest()) owner_->packed(rest_);
  }
  return matrices[static_cast<size_t>(index)];
}

const kernels::PackedMatrix& Weight::forward(Layout layout, kernels::Precision precision, int64_t index) {
  if (at_rest() && layout == (transposed_ ? Layout::in_out : Layout::out_in) && shape_.rank() == 2) {
    if (forward_stale_ || forward_[0].k() != shape_[transposed_ ? 0 : 1] ||
        forward_[0].type() != type_packed(precision))
      pack_at_rest(precision);
    return forward_[0];
  }
  const kernels::PackedMatrix& matrix =
      packed(forward_, forward_stale_, layout == Layout::in_out, precision, index);
  if (frozen_ && !value_.empty()) value_ = OwnedTensor();
  return matrix;
}

const kernels::PackedMatrix& Weight::backward(Layout layout, kernels::Precision precision, int64_t index) {
  return packed(backward_, backward_stale_, layout == Layout::out_in, precision, index);
}

}  // namespace aviary
