// Token shift: every row is mixed with the previous row of its sequence, for all outputs at once.
#include <algorithm>
#include <cstring>

#include "base/threads.h"
#include "kernels/cpu/shift_row.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/shift.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

template <class D>
HWY_INLINE hn::Vec<D> share_at(D d, const TokenShift& shape, const ShiftRow& row, int o, int64_t i) {
  auto share = hn::LoadU(d, row.mix[o] + i);
  if (row.more[o]) share = hn::Add(share, hn::LoadU(d, row.more[o] + i));
  return shape.of_current ? hn::Sub(hn::Set(d, 1.0f), share) : share;
}

void shift_row(const TokenShift& shape, const ShiftRow& row, float* const* out) {
  for_vectors(shape.cols, [&](auto d, int64_t i) HWY_ATTR {
    const auto here = hn::LoadU(d, row.x + i);
    const auto step = hn::Sub(hn::LoadU(d, row.above + i), here);
    for (int o = 0; o < shape.outputs; ++o)
      hn::StoreU(hn::MulAdd(step, share_at(d, shape, row, o, i), here), d, out[o] + i);
  });
}

// One row, going backward: `from_below` holds the next row's sum of dout * share (its contribution to this
// row), and receives this row's contribution to the previous row. to.state is not used.
void shift_row_backward(const TokenShift& shape, const ShiftRow& row, const float* const* dout,
                        float* from_below, const TokenShiftGradients& to) {
  for_vectors(shape.cols, [&](auto d, int64_t i) HWY_ATTR {
    auto step = hn::Sub(hn::LoadU(d, row.above + i), hn::LoadU(d, row.x + i));
    if (shape.of_current) step = hn::Neg(step);
    auto total = hn::Zero(d), shifted = hn::Zero(d);
    for (int o = 0; o < shape.outputs; ++o) {
      if (!dout[o]) continue;
      const auto g = hn::LoadU(d, dout[o] + i);
      total = hn::Add(total, g);
      shifted = hn::MulAdd(g, share_at(d, shape, row, o, i), shifted);
      if (to.mix[o]) hn::StoreU(hn::MulAdd(g, step, hn::LoadU(d, to.mix[o] + i)), d, to.mix[o] + i);
      if (to.more[o]) hn::StoreU(hn::MulAdd(g, step, hn::LoadU(d, to.more[o] + i)), d, to.more[o] + i);
    }
    if (to.x) {
      const auto own = hn::Add(hn::Sub(total, shifted), hn::LoadU(d, from_below + i));
      hn::StoreU(hn::Add(hn::LoadU(d, to.x + i), own), d, to.x + i);
    }
    hn::StoreU(shifted, d, from_below + i);
  });
}

// from_below = sum over outputs of dout * share of one row.
void shifted_part(const TokenShift& shape, const ShiftRow& row, const float* const* dout, float* from_below) {
  for_vectors(shape.cols, [&](auto d, int64_t i) HWY_ATTR {
    auto shifted = hn::Zero(d);
    for (int o = 0; o < shape.outputs; ++o)
      if (dout[o]) shifted = hn::MulAdd(hn::LoadU(d, dout[o] + i), share_at(d, shape, row, o, i), shifted);
    hn::StoreU(shifted, d, from_below + i);
  });
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(shift_row);
HWY_EXPORT(shift_row_backward);
HWY_EXPORT(shifted_part);

// The sequence that holds `row`.
int64_t sequence_of(const TokenShift& shape, int64_t row) {
  return std::upper_bound(shape.begins, shape.begins + shape.sequences + 1, row) - shape.begins - 1;
}

template <typename T>
T* at(T* x, int64_t i) {
  return x ? x + i : nullptr;
}

// Row `row` of sequence s.
ShiftRow row_of(const TokenShift& shape, const TokenShiftInputs& in, int64_t row, int64_t s) {
  const int64_t begin = row * shape.cols;
  const float* x = in.x + begin;
  ShiftRow own{x, row == shape.begins[s] ? in.state[s] : x - shape.cols, {}, {}};
  for (int o = 0; o < shape.outputs; ++o) own.mix[o] = in.mix[o], own.more[o] = at(in.more[o], begin);
  return own;
}

// `partial` receives the gradients of mix.
void backward_block(const TokenShift& shape, int64_t begin, int64_t end, const TokenShiftInputs& in,
                    const float* const* dout, const float* dnext_state, const TokenShiftGradients& g,
                    float* const* partial, float* from_below) {
  const int64_t cols = shape.cols;
  const float* row_dout[max_shift_outputs];
  int64_t s = sequence_of(shape, end - 1);
  for (int64_t row = end - 1; row >= begin; --row) {
    if (row < shape.begins[s]) --s;
    if (row + 1 == shape.begins[s + 1]) {
      if (dnext_state)
        std::memcpy(from_below, dnext_state + s * cols, static_cast<size_t>(cols) * sizeof(float));
      else
        std::fill(from_below, from_below + cols, 0.0f);
    } else if (row + 1 == end) {  // the next row belongs to another block
      for (int o = 0; o < shape.outputs; ++o) row_dout[o] = at(dout[o], (row + 1) * cols);
      HWY_DYNAMIC_DISPATCH(shifted_part)(shape, row_of(shape, in, row + 1, s), row_dout, from_below);
    }
    TokenShiftGradients to{at(g.x, row * cols), nullptr, {}, {}};
    for (int o = 0; o < shape.outputs; ++o) {
      row_dout[o] = at(dout[o], row * cols);
      to.mix[o] = partial[o];
      to.more[o] = at(g.more[o], row * cols);
    }
    HWY_DYNAMIC_DISPATCH(shift_row_backward)(shape, row_of(shape, in, row, s), row_dout, from_below, to);
    if (g.state && row == shape.begins[s])
      for (int64_t i = 0; i < cols; ++i) g.state[s * cols + i] += from_below[i];
  }
}

}  // namespace

void token_shift_mix(const TokenShift& shape, const TokenShiftInputs& in, float* const* out,
                     Places next_state) {
  const int64_t cols = shape.cols;
  const int64_t rows = shape.begins[shape.sequences];
  parallel_for(rows, std::max<int64_t>(1, 4096 / cols), [&](int64_t begin, int64_t end) {
    int64_t s = sequence_of(shape, begin);
    for (int64_t row = begin; row < end; ++row) {
      if (row == shape.begins[s + 1]) ++s;
      float* row_out[max_shift_outputs];
      for (int o = 0; o < shape.outputs; ++o) row_out[o] = out[o] + row * cols;
      HWY_DYNAMIC_DISPATCH(shift_row)(shape, row_of(shape, in, row, s), row_out);
    }
  });
  for (int64_t s = 0; next_state && s < shape.sequences; ++s)
    std::memcpy(next_state[s], in.x + (shape.begins[s + 1] - 1) * cols,
                static_cast<size_t>(cols) * sizeof(float));
}

void token_shift_mix_backward(const TokenShift& shape, const TokenShiftInputs& in, const float* const* dout,
                              const float* dnext_state, const TokenShiftGradients& gradients,
                              float* scratch) {
  const int64_t cols = shape.cols;
  const int64_t rows = shape.begins[shape.sequences];
  const int64_t width = (shape.outputs + 1) * cols;  // partial sums of dmix, then one row of `from_below`
  parallel_for(row_blocks, 1, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      float* sums = scratch + block * width;
      std::fill(sums, sums + width, 0.0f);
      float* partial[max_shift_outputs];
      for (int o = 0; o < shape.outputs; ++o) partial[o] = gradients.mix[o] ? sums + o * cols : nullptr;
      const int64_t begin = block * rows / row_blocks, end = (block + 1) * rows / row_blocks;
      if (begin < end)
        backward_block(shape, begin, end, in, dout, dnext_state, gradients, partial,
                       sums + shape.outputs * cols);
    }
  });
  for (int64_t block = 0; block < row_blocks; ++block)
    for (int o = 0; o < shape.outputs; ++o)
      if (gradients.mix[o])
        for (int64_t i = 0; i < cols; ++i) gradients.mix[o][i] += scratch[block * width + o * cols + i];
}

}  // namespace aviary::kernels
#endif
