// Small matrix products inside a kernel, for attention and similar operators; compiled once per instruction
// set (so no #pragma once). Each element is summed along k in order, independent of the other sizes.
#include "hwy/highway.h"

#if defined(AVIARY_PRODUCTS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef AVIARY_PRODUCTS_INL
#undef AVIARY_PRODUCTS_INL
#else
#define AVIARY_PRODUCTS_INL
#endif

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A left factor that may be transposed, or have overlapping rows: element (m, k) is at m * m_stride + k *
// k_stride.
struct Factor {
  const float* at;
  int64_t m_stride, k_stride;
};

// As many rows at a time as fit into the registers, with two vectors of columns.
constexpr int product_rows = HWY_MAX_BYTES >= 64 ? 8 : 6;

template <int rows, int vectors, class D>
HWY_INLINE void product_tile(D d, int64_t depth, const Factor& a, const float* b, int64_t b_stride,
                             bool accumulate, float* y, int64_t y_stride) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<D> sum[rows][vectors];
  HWY_UNROLL(8)
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v)
      sum[r][v] = accumulate ? hn::LoadU(d, y + r * y_stride + v * lanes) : hn::Zero(d);
  for (int64_t k = 0; k < depth; ++k) {
    hn::Vec<D> row[vectors];
    for (int v = 0; v < vectors; ++v) row[v] = hn::LoadU(d, b + k * b_stride + v * lanes);
    HWY_UNROLL(8)
    for (int r = 0; r < rows; ++r) {
      const auto factor = hn::Set(d, a.at[r * a.m_stride + k * a.k_stride]);
      for (int v = 0; v < vectors; ++v) sum[r][v] = hn::MulAdd(factor, row[v], sum[r][v]);
    }
  }
  HWY_UNROLL(8)
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) hn::StoreU(sum[r][v], d, y + r * y_stride + v * lanes);
}

// Some columns, all rows.
template <int vectors, class D>
HWY_INLINE void product_columns(D d, int64_t rows, int64_t depth, const Factor& a, const float* b,
                                int64_t b_stride, bool accumulate, float* y, int64_t y_stride) {
  int64_t m = 0;
  auto tile = [&](auto count, int64_t left) HWY_ATTR {
    for (; m + count() + left <= rows; m += count())
      product_tile<count(), vectors>(d, depth, {a.at + m * a.m_stride, a.m_stride, a.k_stride}, b, b_stride,
                                     accumulate, y + m * y_stride, y_stride);
  };
  // Single rows are slow: of 8, 14, 20, ... rows none is left after tiles of six and two of four.
  tile(std::integral_constant<int, product_rows>(), product_rows == 6 && rows % 6 == 2 && rows >= 8 ? 8 : 0);
  tile(std::integral_constant<int, 4>(), 0);
  tile(std::integral_constant<int, 1>(), 0);
}

// y [rows, cols] = or += a b, b [depth, cols].
inline void product(int64_t rows, int64_t cols, int64_t depth, const Factor& a, const float* b,
                    int64_t b_stride, bool accumulate, float* y, int64_t y_stride) {
  int64_t n = 0;
  auto columns = [&](auto d, auto vectors) HWY_ATTR {
    const int64_t width = vectors() * static_cast<int64_t>(hn::Lanes(d));
    for (; n + width <= cols; n += width)
      product_columns<vectors()>(d, rows, depth, a, b + n, b_stride, accumulate, y + n, y_stride);
  };
  constexpr std::integral_constant<int, 1> one;
  columns(hn::ScalableTag<float>(), std::integral_constant<int, 2>());
  columns(hn::ScalableTag<float>(), one);
  columns(hn::CappedTag<float, 4>(), one);
  columns(hn::CappedTag<float, 1>(), one);
}

// to [cols, to_stride] = the transpose of from [rows, cols]; both numbers are multiples of 8.
inline void transpose(int64_t rows, int64_t cols, const float* from, int64_t from_stride, float* to,
                      int64_t to_stride) {
#if HWY_TARGET == HWY_SCALAR
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < cols; ++i) to[i * to_stride + r] = from[r * from_stride + i];
#else
  const hn::CappedTag<float, 8> d;  // blocks of four numbers: columns i to i + 3 of row r, and of row r + 4
  const hn::CappedTag<float, 4> block;
  const hn::Repartition<uint64_t, decltype(d)> pairs;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto load = [&](auto tag, const float* at) HWY_ATTR {
    if constexpr (hn::MaxLanes(decltype(tag)()) == 8)
      return hn::Combine(tag, hn::LoadU(block, at + 4 * from_stride), hn::LoadU(block, at));
    else
      return hn::LoadU(tag, at);
  };
  auto in_pairs = [&](auto x) HWY_ATTR { return hn::BitCast(pairs, x); };
  for (int64_t r = 0; r < rows; r += lanes)
    for (int64_t i = 0; i < cols; i += 4) {
      const float* at = from + r * from_stride + i;
      const auto row0 = load(d, at), row1 = load(d, at + from_stride), row2 = load(d, at + 2 * from_stride),
                 row3 = load(d, at + 3 * from_stride);
      const auto low01 = in_pairs(hn::InterleaveLower(d, row0, row1)),
                 high01 = in_pairs(hn::InterleaveUpper(d, row0, row1)),
                 low23 = in_pairs(hn::InterleaveLower(d, row2, row3)),
                 high23 = in_pairs(hn::InterleaveUpper(d, row2, row3));
      float* column = to + i * to_stride + r;
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)), d, column);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)), d, column + to_stride);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)), d, column + 2 * to_stride);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)), d, column + 3 * to_stride);
    }
#endif
}

// to [cols, to_stride] = factor * the transpose of from [rows, cols], with zeros from column `rows` on.
inline void turn(int64_t rows, int64_t cols, const float* from, int64_t from_stride, float factor, float* to,
                 int64_t to_stride) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < cols; ++i) to[i * to_stride + r] = factor * from[r * from_stride + i];
  for (int64_t i = 0; i < cols; ++i)
    for (int64_t r = rows; r < to_stride; ++r) to[i * to_stride + r] = 0;
}

}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
