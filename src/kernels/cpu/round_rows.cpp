#include "kernels/cpu/round_rows.h"

// Vectors of at most 16 numbers, the size of the smallest group.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/round_rows.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::CappedTag<float, 16>;
using I32 = hn::RebindToSigned<F32>;
using I8 = hn::Rebind<int8_t, F32>;

// Sums of vectors in lanes.
HWY_INLINE int32_t sum_of(hn::Vec<I32> x) { return hn::GetLane(hn::SumOfLanes(I32(), x)); }

void round_one(const float* x, int64_t k, int64_t group, int32_t middle, RoundedBlock* row) {
  const F32 d;
  const I32 di;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto without_sign = hn::Set(di, 0x7fffffff);
  const auto least = hn::Set(di, -127), most = hn::Set(di, 127);
  for (int64_t block = 0; block < k / block_k; ++block, x += block_k, ++row) {
    auto largest = hn::Zero(di);  // as integers, magnitudes compare in the same order, and NaN is the largest
    for (int64_t i = 0; i < block_k; i += lanes)
      largest = hn::Max(largest, hn::And(hn::BitCast(di, hn::LoadU(d, x + i)), without_sign));
    const float top = hn::GetLane(hn::BitCast(d, hn::MaxOfLanes(di, largest)));
    const float scale = top / 127, factor = top > 0 ? 127 / top : 0;
    int32_t whole = 0;
    for (int64_t begin = 0; begin < block_k; begin += group) {
      auto sum = hn::Zero(di);
      for (int64_t i = begin; i < begin + group; i += lanes) {
        const auto nearest = hn::NearestInt(hn::Mul(hn::LoadU(d, x + i), hn::Set(d, factor)));
        const auto code = hn::Min(hn::Max(nearest, least), most);  // of the numbers that are not finite
        sum = hn::Add(sum, code);
        hn::StoreU(hn::DemoteTo(I8(), code), I8(), row->codes + i);
      }
      const int32_t of_group = sum_of(sum);
      row->starts[begin / group] = -middle * of_group;
      whole += of_group;
    }
    row->scale = scale;
    row->sum = scale * static_cast<float>(whole);
  }
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {

HWY_EXPORT(round_one);

void round_row(const float* x, int64_t k, int64_t group, int32_t middle, RoundedBlock* row) {
  HWY_DYNAMIC_DISPATCH(round_one)(x, k, group, middle, row);
}

}  // namespace aviary::kernels
#endif
