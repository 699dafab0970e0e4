#include "ops/weight.h"

#include "base/error.h"
#include "tensor/encoding.h"

namespace aviary {

void Weight::rest(Dtype type, std::span<const std::byte> data, std::shared_ptr<const Rest> owner) {
  require(dtype_ == Dtype::f32 && std::ssize(data) == bytes_of(type, shape_.count()),
          "weight {}: {} bytes of {} are not its {} numbers", name_, data.size(), name_of(type),
          shape_.count());
  rest_type_ = type;
  rest_ = data;
  owner_ = std::move(owner);
  value_ = OwnedTensor();
  frozen_ = true;
  changed();
}

void Weight::decode_value() const {
  value_ = OwnedTensor(shape_, Dtype::f32);
  decode(rest_type_, rest_.data(), {value_.view().as<float>(), static_cast<size_t>(shape_.count())});
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
  const Dtype type = rest_type_ == Dtype::f32 ? kernels::type_of(precision) : rest_type_;
  forward_.resize(1);
  forward_[0].pack_stored(rest_type_, rest_.data(), shape_[1], shape_[0], type,
                          [&](std::span<const std::byte> rows) { owner_->packed(rows); });
  forward_stale_ = false;
}

const kernels::PackedMatrix& Weight::packed(std::vector<kernels::PackedMatrix>& matrices, bool& stale,
                                            bool rows_are_k, kernels::Precision precision, int64_t index) {
  const int rank = shape_.rank();
  if (stale || matrices[0].type() != kernels::type_of(precision)) {
    const float* from = value().as<float>();
    require(from != nullptr, "weight {}: it is frozen and packed for products of another kind", name_);
    const int64_t rows = shape_[rank - 2], cols = shape_[rank - 1];
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
  if (at_rest() && layout == Layout::out_in && shape_.rank() == 2) {
    if (forward_stale_ || (rest_type_ == Dtype::f32 && forward_[0].type() != kernels::type_of(precision)))
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
