// Token shift: every row is mixed with the row above it in its sequence, for all users of the mixture at
// once.
#include <algorithm>
#include <cstring>

#include "base/threads.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/shift.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {

void shift_row(int outputs, int64_t cols, const float* x, const float* above, const float* const* mix,
               float* const* out) {
  for_vectors(cols, [&](auto d, int64_t i) HWY_ATTR {
    const auto here = hn::LoadU(d, x + i);
    const auto step = hn::Sub(hn::LoadU(d, above + i), here);
    for (int o = 0; o < outputs; ++o)
      hn::StoreU(hn::MulAdd(step, hn::LoadU(d, mix[o] + i), here), d, out[o] + i);
  });
}

// One row, from below: `from_below` holds the sum of dout * mix of the row below (its share for this row),
// and receives this row's share for the row above.
void shift_row_backward(int outputs, int64_t cols, const float* x, const float* above,
                        const float* const* mix, const float* const* dout, float* dx, float* from_below,
                        float* const* dmix) {
  for_vectors(cols, [&](auto d, int64_t i) HWY_ATTR {
    const auto step = hn::Sub(hn::LoadU(d, above + i), hn::LoadU(d, x + i));
    auto total = hn::Zero(d), shifted = hn::Zero(d);
    for (int o = 0; o < outputs; ++o) {
      if (!dout[o]) continue;
      const auto g = hn::LoadU(d, dout[o] + i);
      total = hn::Add(total, g);
      shifted = hn::MulAdd(g, hn::LoadU(d, mix[o] + i), shifted);
      if (dmix[o]) hn::StoreU(hn::MulAdd(g, step, hn::LoadU(d, dmix[o] + i)), d, dmix[o] + i);
    }
    if (dx) {
      const auto own = hn::Add(hn::Sub(total, shifted), hn::LoadU(d, from_below + i));
      hn::StoreU(hn::Add(hn::LoadU(d, dx + i), own), d, dx + i);
    }
    hn::StoreU(shifted, d, from_below + i);
  });
}

// from_below = sum over outputs of dout * mix of one row.
void shifted_share(int outputs, int64_t cols, const float* const* mix, const float* const* dout,
                   float* from_below) {
  for_vectors(cols, [&](auto d, int64_t i) HWY_ATTR {
    auto shifted = hn::Zero(d);
    for (int o = 0; o < outputs; ++o)
      if (dout[o]) shifted = hn::MulAdd(hn::LoadU(d, dout[o] + i), hn::LoadU(d, mix[o] + i), shifted);
    hn::StoreU(shifted, d, from_below + i);
  });
}

}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(shift_row);
HWY_EXPORT(shift_row_backward);
HWY_EXPORT(shifted_share);

// The sequence that holds `row`.
int64_t sequence_of(const TokenShift& shape, int64_t row) {
  return std::upper_bound(shape.begins, shape.begins + shape.sequences + 1, row) - shape.begins - 1;
}

void backward_block(const TokenShift& shape, int64_t begin, int64_t end, const float* x, const float* state,
                    const float* const* mix, const float* const* dout, const float* dnext_state, float* dx,
                    float* dstate, float* const* dmix, float* from_below) {
  const int64_t cols = shape.cols;
  int64_t s = sequence_of(shape, end - 1);
  for (int64_t row = end - 1; row >= begin; --row) {
    if (row < shape.begins[s]) --s;
    const float* row_dout[max_shift_outputs];
    if (row + 1 == shape.begins[s + 1]) {
      if (dnext_state)
        std::memcpy(from_below, dnext_state + s * cols, static_cast<size_t>(cols) * sizeof(float));
      else
        std::fill(from_below, from_below + cols, 0.0f);
    } else if (row + 1 == end) {  // the row below belongs to another block
      for (int o = 0; o < shape.outputs; ++o) row_dout[o] = dout[o] ? dout[o] + (row + 1) * cols : nullptr;
      HWY_DYNAMIC_DISPATCH(shifted_share)(shape.outputs, cols, mix, row_dout, from_below);
    }
    for (int o = 0; o < shape.outputs; ++o) row_dout[o] = dout[o] ? dout[o] + row * cols : nullptr;
    const bool first = row == shape.begins[s];
    const float* above = first ? state + s * cols : x + (row - 1) * cols;
    HWY_DYNAMIC_DISPATCH(shift_row_backward)
    (shape.outputs, cols, x + row * cols, above, mix, row_dout, dx ? dx + row * cols : nullptr, from_below,
     dmix);
    if (first && dstate)
      for (int64_t i = 0; i < cols; ++i) dstate[s * cols + i] += from_below[i];
  }
}

}  // namespace

void token_shift_mix(const TokenShift& shape, const float* x, const float* state, const float* const* mix,
                     float* const* out, float* next_state) {
  const int64_t cols = shape.cols;
  const int64_t rows = shape.begins[shape.sequences];
  parallel_for(rows, std::max<int64_t>(1, 4096 / cols), [&](int64_t begin, int64_t end) {
    int64_t s = sequence_of(shape, begin);
    for (int64_t row = begin; row < end; ++row) {
      if (row == shape.begins[s + 1]) ++s;
      const float* above = row == shape.begins[s] ? state + s * cols : x + (row - 1) * cols;
      float* row_out[max_shift_outputs];
      for (int o = 0; o < shape.outputs; ++o) row_out[o] = out[o] + row * cols;
      HWY_DYNAMIC_DISPATCH(shift_row)(shape.outputs, cols, x + row * cols, above, mix, row_out);
    }
  });
  for (int64_t s = 0; s < shape.sequences; ++s)
    std::memcpy(next_state + s * cols, x + (shape.begins[s + 1] - 1) * cols,
                static_cast<size_t>(cols) * sizeof(float));
}

void token_shift_mix_backward(const TokenShift& shape, const float* x, const float* state,
                              const float* const* mix, const float* const* dout, const float* dnext_state,
                              float* dx, float* dstate, float* const* dmix, float* scratch) {
  const int64_t cols = shape.cols;
  const int64_t rows = shape.begins[shape.sequences];
  const int64_t width = (shape.outputs + 1) * cols;  // partial sums of dmix, then one row of `from_below`
  parallel_for(row_blocks, 1, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      float* partial = scratch + block * width;
      std::fill(partial, partial + width, 0.0f);
      float* block_dmix[max_shift_outputs];
      for (int o = 0; o < shape.outputs; ++o) block_dmix[o] = dmix[o] ? partial + o * cols : nullptr;
      const int64_t begin = block * rows / row_blocks, end = (block + 1) * rows / row_blocks;
      if (begin < end)
        backward_block(shape, begin, end, x, state, mix, dout, dnext_state, dx, dstate, block_dmix,
                       partial + shape.outputs * cols);
    }
  });
  for (int64_t block = 0; block < row_blocks; ++block)
    for (int o = 0; o < shape.outputs; ++o)
      if (dmix[o])
        for (int64_t i = 0; i < cols; ++i) dmix[o][i] += scratch[block * width + o * cols + i];
}

}  // namespace aviary::kernels
#endif
