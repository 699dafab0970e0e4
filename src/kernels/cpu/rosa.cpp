// ROSA: for every channel, the value that followed the last occurrence, among its keys, of the longest
// matching suffix of its queries. Vectors run along the channels. A suffix automaton finds the same in linear
// time, but one channel at a time and by following pointers; comparing with every earlier position takes
// quadratic time, but is simple, and its state is one row of numbers per token.
#include <algorithm>

#include "base/threads.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rosa.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

// The channels [first, last) of one sequence, which has `position` rows and gets `rows` more. Rows are `cols`
// apart.
void rosa_channels(int64_t first, int64_t last, int64_t cols, int64_t position, int64_t rows, float missing,
                   const float* q, const float* keys, const float* values, float* match, float* y) {
  for_vectors(last - first, [&](auto d, int64_t channel) HWY_ATTR {
    const int64_t c = first + channel;
    const auto zero = hn::Zero(d), one = hn::Set(d, 1.0f);
    for (int64_t t = 0; t < rows; ++t) {
      const int64_t now = position + t;
      const auto query = hn::LoadU(d, q + t * cols + c);
      // before: match length at the previous position.
      auto longest = zero, found = hn::Set(d, missing), before = zero;
      for (int64_t j = 0; j <= now; ++j) {
        const int64_t at = j * cols + c;
        const auto equal = hn::Eq(query, hn::LoadU(d, keys + at));
        const auto length = hn::IfThenElseZero(equal, hn::Add(before, one));
        before = hn::LoadU(d, match + at);
        hn::StoreU(length, d, match + at);
        if (j == now) break;  // nothing follows it yet
        const auto better = hn::And(equal, hn::Ge(length, longest));
        longest = hn::IfThenElse(better, length, longest);
        found = hn::IfThenElse(better, hn::LoadU(d, values + at + cols), found);
      }
      hn::StoreU(found, d, y + t * cols + c);
    }
  });
}

void signs_range(const float* x, int64_t count, float* y) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto one = hn::Set(d, 1.0f);
    hn::StoreU(hn::IfThenElse(hn::Gt(hn::LoadU(d, x + i), hn::Zero(d)), one, hn::Neg(one)), d, y + i);
  });
}

void scale_row(const float* x, const float* weight, int64_t count, float* y) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    hn::StoreU(hn::Mul(hn::LoadU(d, x + i), hn::LoadU(d, weight + i)), d, y + i);
  });
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(rosa_channels);
HWY_EXPORT(signs_range);
HWY_EXPORT(scale_row);

constexpr int64_t channels = 16;  // per task: a cache line, and the widest vector of any CPU
constexpr int64_t grain = 8192;

}  // namespace

void rosa(const Rosa& shape, const float* q, ConstPlaces keys, ConstPlaces values, Places match, float* y) {
  const int64_t cols = shape.cols, blocks = (cols + channels - 1) / channels;
  parallel_for(shape.sequences * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t s = task / blocks, first = task % blocks * channels;
      const int64_t row = shape.begins[s] * cols;
      const int64_t position = shape.positions ? shape.positions[s] : 0;
      HWY_DYNAMIC_DISPATCH(rosa_channels)
      (first, std::min(cols, first + channels), cols, position, shape.begins[s + 1] - shape.begins[s],
       shape.missing, q + row, keys[s], values[s], match[s], y + row);
    }
  });
}

void signs(const float* x, int64_t count, float* y) {
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(signs_range)(x + begin, end - begin, y + begin);
  });
}

void scale_columns(const float* x, const float* weight, int64_t rows, int64_t cols, float* y) {
  parallel_for(rows, std::max<int64_t>(1, grain / cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      HWY_DYNAMIC_DISPATCH(scale_row)(x + row * cols, weight, cols, y + row * cols);
  });
}

}  // namespace aviary::kernels
#endif
