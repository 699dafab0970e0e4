#include "kernels/cpu/matmul_micro.h"

#include "numbers/dtype.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matmul_micro.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using U32 = hn::ScalableTag<uint32_t>;
using Vector = hn::Vec<F32>;
constexpr int64_t lanes = hn::MaxLanes(F32{});
constexpr int64_t width = 2 * lanes;
constexpr int64_t parts = narrow_width / width;  // of a panel of 16-bit numbers
// Of these, as many as a product of one row reads at once. Plain code has 16 parts of two columns.
constexpr int64_t parts_of_row = parts < tile_panels ? parts : tile_panels;

// Address of row r of A at step i, for a tile.
struct Rows {
  template <int rows>
  static HWY_INLINE const float* at(const float* a, int r, int64_t i) {
    return a + r * a_row_stride + i;
  }
};
struct Columns {
  template <int rows>
  static HWY_INLINE const float* at(const float* a, int r, int64_t i) {
    return a + i * rows + r;
  }
};

// One row of B, lanes j of the panels that a tile covers.
struct F32Row {
  static HWY_INLINE Vector load(const float* row) { return hn::LoadU(F32(), row); }
};
// Two bf16 of one column share 32 bits, the earlier row in the lower half.
struct EvenRow {
  static HWY_INLINE Vector load(const float* pair) {
    const U32 d;
    return hn::BitCast(F32(), hn::ShiftLeft<16>(hn::BitCast(d, hn::LoadU(F32(), pair))));
  }
};
struct OddRow {
  static HWY_INLINE Vector load(const float* pair) {
    const U32 d;
    return hn::BitCast(F32(), hn::And(hn::BitCast(d, hn::LoadU(F32(), pair)), hn::Set(d, 0xffff0000u)));
  }
};

// Half precision.
struct HalfRow {
  static HWY_INLINE Vector load(const hwy::float16_t* row) {
    return hn::PromoteTo(F32(), hn::LoadU(hn::Rebind<hwy::float16_t, F32>(), row));
  }
};

// Into the second-level cache.
HWY_INLINE void fetch(const char* line) { __builtin_prefetch(line, 0, 2); }
// What lies `distance` bytes after those that a product of one row reads now, into the first-level cache.
template <int64_t bytes>
HWY_INLINE void fetch_row(const void* now, int64_t distance) {
  HWY_UNROLL(8)
  for (int64_t i = 0; i < bytes; i += line_bytes)
    __builtin_prefetch(static_cast<const char*>(now) + distance + i, 0, 3);
}

template <int rows, int panels, class Layout>
struct Tile {
  static constexpr int columns = 2 * panels;  // in vectors
  Vector sum[rows][columns];

  HWY_INLINE Tile(const float* c, int64_t c_stride, bool accumulate) {
    const F32 d;
    HWY_UNROLL(6)
    for (int r = 0; r < rows; ++r) {
      HWY_UNROLL(8)
      for (int j = 0; j < columns; ++j)
        sum[r][j] = accumulate ? hn::LoadU(d, c + r * c_stride + j * lanes) : hn::Zero(d);
    }
  }

  // Adds the products of step i.
  template <class Row, typename T>
  HWY_INLINE void add(const float* a, int64_t i, const T* panel, int64_t panel_stride) {
    // The shorter of the two (rows or vectors) is kept in registers.
    if constexpr (rows < columns) {
      Vector factors[rows];
      HWY_UNROLL(6)
      for (int r = 0; r < rows; ++r) factors[r] = hn::Set(F32(), *Layout::template at<rows>(a, r, i));
      HWY_UNROLL(8)
      for (int j = 0; j < columns; ++j) {
        const Vector value = Row::load(panel + j / 2 * panel_stride + j % 2 * lanes);
        HWY_UNROLL(6)
        for (int r = 0; r < rows; ++r) sum[r][j] = hn::MulAdd(factors[r], value, sum[r][j]);
      }
    } else {
      Vector values[columns];
      HWY_UNROLL(8)
      for (int j = 0; j < columns; ++j) values[j] = Row::load(panel + j / 2 * panel_stride + j % 2 * lanes);
      HWY_UNROLL(6)
      for (int r = 0; r < rows; ++r) {
        const Vector factor = hn::Set(F32(), *Layout::template at<rows>(a, r, i));
        HWY_UNROLL(8)
        for (int j = 0; j < columns; ++j) sum[r][j] = hn::MulAdd(factor, values[j], sum[r][j]);
      }
    }
  }

  HWY_INLINE void finish(float* c, int64_t c_stride) const {
    HWY_UNROLL(6)
    for (int r = 0; r < rows; ++r) {
      HWY_UNROLL(8)
      for (int j = 0; j < columns; ++j) hn::StoreU(sum[r][j], F32(), c + r * c_stride + j * lanes);
    }
  }
};

template <int rows, int panels, class Layout>
void tile_f32(const float* HWY_RESTRICT a, const void* b, int64_t panel_bytes, int64_t k,
              float* HWY_RESTRICT c, int64_t c_stride, bool accumulate, const void* ahead) {
  Tile<rows, panels, Layout> tile(c, c_stride, accumulate);
  const float* HWY_RESTRICT panel = static_cast<const float*>(b);
  const int64_t stride = panel_bytes / 4;
  const auto* line = static_cast<const char*>(ahead);
  const int64_t far = rows == 1 ? row_ahead() : 0;
  int64_t i = 0;
  // With more than two at a time, g++ spills registers.
  for (; i + 2 <= k; i += 2, panel += 2 * width, line += 2 * line_bytes) {
    if constexpr (rows > 1)
      fetch(line), fetch(line + line_bytes);
    else
      fetch_row<8 * width>(panel, far);
    tile.template add<F32Row>(a, i, panel, stride);
    tile.template add<F32Row>(a, i + 1, panel + width, stride);
  }
  for (; i < k; ++i, panel += width) tile.template add<F32Row>(a, i, panel, stride);
  tile.finish(c, c_stride);
}

template <int rows, int panels>
void tile_bf16(const float* HWY_RESTRICT a, const void* b, int64_t panel_bytes, int64_t k,
               float* HWY_RESTRICT c, int64_t c_stride, bool accumulate, const void* ahead) {
  Tile<rows, panels, Rows> tile(c, c_stride, accumulate);
  const float* HWY_RESTRICT panel = static_cast<const float*>(b);
  const int64_t stride = panel_bytes / 4;
  const auto* line = static_cast<const char*>(ahead);
  const int64_t far = rows == 1 ? row_ahead() : 0;
  int64_t i = 0;
  for (; i + 4 <= k; i += 4, panel += 2 * narrow_width, line += 4 * line_bytes) {
    if constexpr (rows > 1)
      for (int64_t j = 0; j < 4; ++j) fetch(line + j * line_bytes);
    else
      fetch_row<8 * narrow_width>(panel, far);
    tile.template add<EvenRow>(a, i, panel, stride);
    tile.template add<OddRow>(a, i + 1, panel, stride);
    tile.template add<EvenRow>(a, i + 2, panel + narrow_width, stride);
    tile.template add<OddRow>(a, i + 3, panel + narrow_width, stride);
  }
  for (; i < k; i += 2, panel += narrow_width) {
    tile.template add<EvenRow>(a, i, panel, stride);
    if (i + 1 < k) tile.template add<OddRow>(a, i + 1, panel, stride);
  }
  tile.finish(c, c_stride);
}

template <int rows, int panels>
void tile_f16(const float* HWY_RESTRICT a, const void* b, int64_t panel_bytes, int64_t k,
              float* HWY_RESTRICT c, int64_t c_stride, bool accumulate, const void* ahead) {
  Tile<rows, panels, Rows> tile(c, c_stride, accumulate);
  const auto* HWY_RESTRICT panel = static_cast<const hwy::float16_t*>(b);
  const int64_t stride = panel_bytes / 2;
  const auto* line = static_cast<const char*>(ahead);
  const int64_t far = rows == 1 ? row_ahead() : 0;
  for (int64_t i = 0; i < k; ++i, panel += narrow_width, line += line_bytes) {
    if constexpr (rows > 1)
      fetch(line);
    else
      fetch_row<2 * narrow_width>(panel, far);
    tile.template add<HalfRow>(a, i, panel, stride);
  }
  tile.finish(c, c_stride);
}

// x rounded to bf16, in the upper halves.
HWY_INLINE hn::Vec<U32> rounded_bits(Vector x) {
  const U32 d;
  const auto bits = hn::BitCast(d, x);
  const auto tie = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1u));
  const auto rounded = hn::Add(bits, hn::Add(tie, hn::Set(d, 0x7fffu)));
  const auto not_a_number = hn::Or(bits, hn::Set(d, 0x400000u));
  return hn::IfThenElse(hn::RebindMask(d, hn::Eq(x, x)), rounded, not_a_number);
}

HWY_INLINE Vector rounded_vector(Vector x) {
  return hn::BitCast(F32(), hn::And(rounded_bits(x), hn::Set(U32(), 0xffff0000u)));
}

void round_to_bf16(const float* x, int64_t count, float* y) {
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(rounded_vector(hn::LoadU(F32(), x + i)), F32(), y + i);
  for (; i < count; ++i) y[i] = to_float(to_bf16(x[i]));
}

void copy_panel(const float* b, int64_t b_stride, int64_t k, bool rounded, float* panel) {
  constexpr int64_t ahead = 16;  // rows are too far apart for the hardware prefetcher
  for (int64_t i = 0; i < k; ++i, b += b_stride, panel += width) {
    if (i + ahead < k) hwy::Prefetch(b + ahead * b_stride);
    Vector low = hn::LoadU(F32(), b), high = hn::LoadU(F32(), b + lanes);
    if (rounded) low = rounded_vector(low), high = rounded_vector(high);
    hn::StoreU(low, F32(), panel);
    hn::StoreU(high, F32(), panel + lanes);
  }
}

void widen(const void* panel, int64_t k, float* wide) {
  const auto* pairs = static_cast<const float*>(panel);
  for (int64_t i = 0; i < k; i += 2, pairs += narrow_width, wide += 2 * width) {
    for (int64_t j = 0; j < width; j += lanes) {
      hn::StoreU(EvenRow::load(pairs + j), F32(), wide + j);
      hn::StoreU(OddRow::load(pairs + j), F32(), wide + width + j);
    }
  }
}

void widen_f16(const void* panel, int64_t k, float* wide) {
  const auto* halves = static_cast<const hwy::float16_t*>(panel);
  for (int64_t i = 0; i < k; ++i, halves += narrow_width, wide += width)
    for (int64_t j = 0; j < width; j += lanes) hn::StoreU(HalfRow::load(halves + j), F32(), wide + j);
}

template <int rows, int panels>
constexpr TileFunction f32_tile() {
  if constexpr (panels <= widest_tile(rows))
    return tile_f32<rows, panels, Rows>;
  else
    return nullptr;
}
template <int rows, int panels>
constexpr bool has_narrow_tile = panels <= widest_tile(rows) || (rows == 1 && panels == parts_of_row);
template <int rows, int panels>
constexpr TileFunction bf16_tile() {
  if constexpr (has_narrow_tile<rows, panels>)
    return tile_bf16<rows, panels>;
  else
    return nullptr;
}

template <int rows, int panels>
constexpr TileFunction f16_tile() {
  if constexpr (has_narrow_tile<rows, panels>)
    return tile_f16<rows, panels>;
  else
    return nullptr;
}

template <int rows>
constexpr void enter(MicroKernels& all) {
  TileFunction f32[] = {f32_tile<rows, 1>(), f32_tile<rows, 2>(), f32_tile<rows, 3>(), f32_tile<rows, 4>()};
  TileFunction bf16[] = {bf16_tile<rows, 1>(), bf16_tile<rows, 2>(), bf16_tile<rows, 3>(),
                         bf16_tile<rows, 4>()};
  TileFunction f16[] = {f16_tile<rows, 1>(), f16_tile<rows, 2>(), f16_tile<rows, 3>(), f16_tile<rows, 4>()};
  for (int i = 0; i < tile_panels; ++i)
    all.f32[rows - 1][i] = f32[i], all.bf16[rows - 1][i] = bf16[i], all.f16[rows - 1][i] = f16[i];
  all.transposed[rows - 1] = tile_f32<rows, 1, Columns>;
}

constexpr MicroKernels make_table() {
  MicroKernels all{};
  all.panel_width = width;
  enter<1>(all);
  enter<2>(all);
  enter<3>(all);
  enter<4>(all);
  enter<5>(all);
  enter<6>(all);
  all.round = round_to_bf16;
  all.copy_panel = copy_panel;
  all.widen = widen;
  all.widen_f16 = widen_f16;
  return all;
}

const MicroKernels* kernel_table() {
  static constexpr MicroKernels table = make_table();
  return &table;
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {

HWY_EXPORT(kernel_table);

const MicroKernels& micro_kernels() { return *HWY_DYNAMIC_DISPATCH(kernel_table)(); }

}  // namespace aviary::kernels
#endif
