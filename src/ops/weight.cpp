#include "ops/weight.h"

#include <algorithm>

#include "base/error.h"
#include "numbers/encoding.h"

namespace aviary {

void Weight::allocate() {
  if (value_.empty() && !is_stored() && !packed_) value_ = OwnedTensor(shape_, dtype_);
}

void Weight::adopt(Buffer numbers) {
  require(dtype_ == Dtype::f32 && numbers.bytes() == shape_.count() * size_of(dtype_),
          "weight {}: {} bytes are not its {} numbers", name_, numbers.bytes(), shape_.count());
  value_ = OwnedTensor(std::move(numbers), shape_, dtype_);
  stored_ = {};
  changed();
}

void Weight::store(StoredNumbers numbers) {
  require(dtype_ == Dtype::f32 && std::ssize(numbers.bytes) == bytes_of(numbers.type, shape_.count()),
          "weight {}: {} bytes of {} are not its {} numbers", name_, numbers.bytes.size(),
          name_of(numbers.type), shape_.count());
  require(!numbers.transposed || shape_.rank() == 2, "weight {}: {} axes cannot be stored transposed", name_,
          shape_.rank());
  stored_ = std::move(numbers);
  value_ = OwnedTensor();
  changed();
}

void Weight::decode_values() {
  value_ = decoded();
  stored_ = {};
  changed();
}

OwnedTensor Weight::decoded() const {
  OwnedTensor result(shape_, Dtype::f32);
  float* to = result.view().as<float>();
  const auto count = static_cast<size_t>(shape_.count());
  if (!stored_.transposed) {
    decode(stored_.type, stored_.bytes.data(), {to, count});
    return result;
  }
  const OwnedTensor turned(shape_, Dtype::f32);
  decode(stored_.type, stored_.bytes.data(), {turned.view().as<float>(), count});
  const int64_t rows = shape_[0], cols = shape_[1];
  const float* from = turned.view().as<float>();
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t col = 0; col < cols; ++col) to[row * cols + col] = from[col * rows + row];
  return result;
}

void Weight::decode_row(int64_t row, float* values) const {
  const int64_t cols = shape_[shape_.rank() - 1];
  decode(stored_.type, stored_.bytes.data() + bytes_of(stored_.type, row * cols),
         {values, static_cast<size_t>(cols)});
}

void Weight::set_trainable(bool trainable) {
  if (trainable == !gradient_.empty()) return;
  if (trainable) require_changeable();
  own_gradient_ = trainable ? OwnedTensor(shape(), dtype_) : OwnedTensor();
  gradient_ = own_gradient_.view();
}

void Weight::set_gradient(const Tensor& gradient) {
  require_changeable();
  own_gradient_ = OwnedTensor();
  gradient_ = gradient;
}

bool Weight::leads_to_trained() const {
  return trainable() || std::any_of(adapters_.begin(), adapters_.end(), [](const auto& adapter) {
           return adapter->a.trainable() || adapter->b.trainable();
         });
}

void Weight::require_changeable() const {
  require(changeable(), "weight {}: its numbers are stored, or packed for good; it cannot be trained", name_);
}

void Weight::add_adapter(std::shared_ptr<Adapter> adapter) {
  const Shape &a = adapter->a.shape(), &b = adapter->b.shape();
  require(shape_.rank() == 2 && a.rank() == 2 && b.rank() == 2 && a[1] == shape_[1] && b[0] == shape_[0] &&
              a[0] == b[1],
          "weight {}: matrices {} and {} of an adapter cannot be added to {}; expected [r, in] and [out, r]",
          name_, a, b, shape_);
  adapters_.push_back(std::move(adapter));
}

void Weight::merge_adapters() {
  if (adapters_.empty()) return;
  require_changeable();
  const int64_t out = shape_[0], in = shape_[1];
  for (const std::shared_ptr<Adapter>& adapter : adapters_) {
    const int64_t rank = adapter->a.shape()[0];
    const float* b = adapter->b.value().as<float>();
    std::vector<float> b_rows(static_cast<size_t>(rank * out));  // B^T [r, out]
    for (int64_t i = 0; i < out * rank; ++i) b_rows[static_cast<size_t>(i % rank * out + i / rank)] = b[i];
    kernels::matmul_transposed(b_rows.data(), out, adapter->a.value().as<float>(), in, rank, out, in,
                               value().as<float>(), in, kernels::Precision::f32);
  }
  adapters_.clear();
  changed();
}

void Weight::pack(Layout layout, kernels::Precision precision, const Released& released) {
  for (const std::shared_ptr<Adapter>& adapter : adapters_)
    for (Weight* part : {&adapter->a, &adapter->b}) part->pack(Layout::out_in, precision);
  if (packed_ && !is_packed_as(layout, precision, forward_)) refuse(layout, precision);
  if (packed_ || dtype_ != Dtype::f32) return;
  if (packs_stored_rows(layout)) {
    const int64_t rows = shape_[stored_.transposed ? 1 : 0], cols = shape_[stored_.transposed ? 0 : 1];
    forward_.resize(1);
    forward_[0].pack_stored(stored_.type, stored_.bytes.data(), cols, rows, packed_type(layout, precision),
                            released);
  } else if (is_stored()) {
    pack_values(decoded().view(), forward_, layout == Layout::in_out, precision);
    if (released) released(stored_.bytes);
  } else {
    require(!value_.empty(), "weight {}: it has no numbers to pack", name_);
    if (forward_stale_ || !is_packed_as(layout, precision, forward_))
      pack_values(value(), forward_, layout == Layout::in_out, precision);
    value_ = OwnedTensor();
  }
  backward_.clear();
  set_trainable(false);
  packed_ = true;
}

bool Weight::can_adopt(Layout layout, kernels::Precision precision,
                       std::span<const kernels::PackedMatrix> matrices) const {
  if (packed_ || dtype_ != Dtype::f32 || matrices.size() != this->matrices()) return false;
  const int64_t numbers = shape_.count() / std::ssize(matrices);
  return std::all_of(matrices.begin(), matrices.end(), [&](const kernels::PackedMatrix& matrix) {
    return is_packed_as(layout, precision, {&matrix, 1}) && matrix.k() * matrix.n() == numbers;
  });
}

void Weight::adopt_packed(std::vector<kernels::PackedMatrix> matrices) {
  forward_ = std::move(matrices);
  value_ = OwnedTensor();
  packed_ = true;
}

void Weight::refuse(Layout layout, kernels::Precision precision) const {
  fail("weight {}: it is packed for products y = x {} in {}, and was to be multiplied as y = x {} in {}",
       name_, forward_[0].k() == shape_[shape_.rank() - 1] ? "W^T" : "W", name_of(forward_[0].type()),
       layout == Layout::out_in ? "W^T" : "W", name_of(packed_type(layout, precision)));
}

void Weight::pack_values(const Tensor& values, std::vector<kernels::PackedMatrix>& matrices, bool rows_are_k,
                         kernels::Precision precision) const {
  const int rank = shape_.rank();
  const int64_t rows = shape_[rank - 2], cols = shape_[rank - 1];
  const float* from = values.as<float>();
  matrices.resize(this->matrices());
  for (kernels::PackedMatrix& matrix : matrices) {
    if (rows_are_k)
      matrix.pack(from, rows, cols, cols, 1, precision);
    else
      matrix.pack(from, cols, rows, 1, cols, precision);
    from += rows * cols;
  }
}

void Weight::repack(std::vector<kernels::PackedMatrix>& matrices, bool& stale, bool rows_are_k,
                    kernels::Precision precision) {
  const int rank = shape_.rank();
  if (!stale && matrices[0].type() == kernels::type_of(precision) &&
      matrices[0].k() == shape_[rank - (rows_are_k ? 2 : 1)])
    return;
  require(!value_.empty(), "weight {}: it is stored, and was not packed for products", name_);
  pack_values(value(), matrices, rows_are_k, precision);
  stale = false;
}

void Weight::multiply_back(Layout layout, kernels::Precision precision, int64_t index, const float* dy,
                           int64_t rows, int64_t dy_stride, float* dx, int64_t dx_stride, bool accumulate) {
  if (packed_)
    return kernels::matmul_with_transpose(dy, rows, dy_stride, forward(layout, precision, index), dx,
                                          dx_stride, accumulate, precision);
  repack(backward_, backward_stale_, layout == Layout::out_in, precision);
  kernels::matmul(dy, rows, dy_stride, backward_[static_cast<size_t>(index)], dx, dx_stride, accumulate);
}

}  // namespace aviary
