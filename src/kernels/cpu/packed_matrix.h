// The implementations of PackedMatrix: numbers in panels (float_matrix.cpp) or quantized blocks
// (block_matrix.cpp).
#pragma once

#include <cstddef>
#include <memory>

#include "base/error.h"
#include "kernels/matmul.h"
#include "tensor/weight_memory.h"

namespace aviary::kernels {

class PackedMatrix::Implementation {
 public:
  Implementation(int64_t k, int64_t n, Dtype type) : k_(k), n_(n), type_(type), isa_(kernels::isa()) {}
  virtual ~Implementation() = default;
  Implementation(const Implementation&) = delete;
  Implementation& operator=(const Implementation&) = delete;

  // See PackedMatrix::pack and pack_stored.
  virtual void pack(const float* b, int64_t k_stride, int64_t n_stride) = 0;
  virtual void pack_stored(Dtype stored, const std::byte* rows, int64_t first_panel, int64_t last_panel) = 0;
  // The numbers of panels [first, last) as float32: `rows` [columns of B in them, K].
  virtual void unpack(int64_t first_panel, int64_t last_panel, float* rows) const = 0;
  // For two rows or more.
  virtual void multiply(const float* x, int64_t m, int64_t x_stride, float* y, int64_t y_stride,
                        bool accumulate) const = 0;
  // For one row, and only the columns of panels [first, last). Several threads each compute a part.
  virtual void multiply_row(const float* x, float* y, bool accumulate, int64_t first, int64_t last) const = 0;
  virtual int64_t panels() const = 0;
  virtual int64_t panel_width() const = 0;  // columns of B, which are stored rows

  const WeightMemory& memory() const { return data_; }
  int64_t k() const { return k_; }
  int64_t n() const { return n_; }
  Dtype type() const { return type_; }
  // Whether its memory can be reused to pack such a matrix.
  bool fits(int64_t k, int64_t n, Dtype type) const {
    return k == k_ && n == n_ && type == type_ && isa_ == kernels::isa() && data_.writable();
  }

 protected:
  // For constructors: uses `memory`, which holds the packed numbers, or allocates memory to be packed if it
  // is empty.
  void take(WeightMemory memory, int64_t bytes) {
    require(memory.bytes() == 0 || memory.bytes() == bytes,
            "matmul: a matrix [{}, {}] of {} was packed into {} bytes, expected {}", k_, n_, name_of(type_),
            memory.bytes(), bytes);
    data_ = memory.bytes() == 0 ? WeightMemory(bytes) : std::move(memory);
  }

  const int64_t k_, n_;
  WeightMemory data_;

 private:
  const Dtype type_;
  const Isa isa_;  // the one allowed when the layout was chosen
};

// memory: empty, or the packed bytes of such a matrix. Throws Error if its size is wrong.
std::unique_ptr<PackedMatrix::Implementation> make_float_matrix(int64_t k, int64_t n, Dtype type,
                                                                WeightMemory memory);
// Packed size of such a matrix in bytes.
int64_t bytes_of_float_matrix(int64_t k, int64_t n, Dtype type);
std::unique_ptr<PackedMatrix::Implementation> make_block_matrix(int64_t k, int64_t n, Dtype type,
                                                                WeightMemory memory);

}  // namespace aviary::kernels
