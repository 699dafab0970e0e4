// Attention free transformer. The largest key of every channel and the largest weight of every row of w are
// factored out, so that the sums become products of two matrices with elements of at most 1:
//   E = [e^{k - max k} | e^{k - max k} v],  W = e^{w - max w},  [divisor | numerator] = W E
// If the divisor is close to 0, because large weights coincide only with small keys, the row is computed with
// its own maximum instead.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/history_blocks.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/aft.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/products-inl.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

// Some columns of E [count, 2 cols] of one sequence; pointers point to the first of them.
void aft_keys(int64_t count, int64_t some, int64_t cols, const float* k, const float* v, float* e) {
  for_vectors(some, [&](auto d, int64_t i) HWY_ATTR {
    auto top = hn::LoadU(d, k + i);
    for (int64_t u = 1; u < count; ++u) top = hn::Max(top, hn::LoadU(d, k + u * cols + i));
    for (int64_t u = 0; u < count; ++u) {
      const auto x = hn::Exp(d, hn::Sub(hn::LoadU(d, k + u * cols + i), top));
      hn::StoreU(x, d, e + 2 * u * cols + i);
      hn::StoreU(hn::Mul(x, hn::LoadU(d, v + u * cols + i)), d, e + (2 * u + 1) * cols + i);
    }
  });
}

// W of a block, transposed: [count, width].
void aft_weights(const Block& block, const float* w, int64_t length, float* weights) {
  const hn::CappedTag<float, block_width> d;
  const int64_t width = block.width(), end = block.count() * width;
  turn(block.rows, block.count(), w + block.first * length, length, 1, weights, width);
  for (int64_t u = block.first + 1; u < block.count(); ++u)
    std::fill_n(weights + u * width, u - block.first, -1e30f);
  for (int64_t r = 0; r < width; r += static_cast<int64_t>(hn::Lanes(d))) {
    auto top = hn::LoadU(d, weights + r);
    for (int64_t i = r; i < end; i += width) top = hn::Max(top, hn::LoadU(d, weights + i));
    for (int64_t i = r; i < end; i += width)
      hn::StoreU(hn::Exp(d, hn::Sub(hn::LoadU(d, weights + i), top)), d, weights + i);
  }
}

// z [rows, 2 cols] = W E
void aft_sums(const Block& block, int64_t cols, const float* weights, const float* e, float* z) {
  product(block.rows, 2 * cols, block.count(), {weights, 1, block.width()}, e, 2 * cols, false, z, 2 * cols);
}

void divide(const float* x, const float* divisor, int64_t count, float* y) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    hn::StoreU(hn::Div(hn::LoadU(d, x + i), hn::LoadU(d, divisor + i)), d, y + i);
  });
}

// dE [count, some] += W^T dz, some columns.
void aft_keys_share(const Block& block, int64_t some, int64_t cols, const float* weights, const float* dz,
                    float* de) {
  product(block.count(), some, block.rows, {weights, block.width(), 1}, dz, 2 * cols, true, de, some);
}

// shares [count, width] = E dz^T: the gradient of W.
void aft_weight_shares(const Block& block, int64_t cols, const float* e, const float* dz, float* turned,
                       float* shares) {
  turn(block.rows, 2 * cols, dz, 2 * cols, 1, turned, block.width());
  product(block.count(), block.width(), 2 * cols, {e, 2 * cols, 1}, turned, block.width(), false, shares,
          block.width());
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(aft_keys);
HWY_EXPORT(aft_weights);
HWY_EXPORT(aft_sums);
HWY_EXPORT(divide);
HWY_EXPORT(aft_keys_share);
HWY_EXPORT(aft_weight_shares);

constexpr int64_t channel_block = 64;
constexpr float smallest_divisor = 1e-30f;  // smaller divisors are treated as 0

float* memory(int part, int64_t floats) {
  thread_local AlignedScratch parts[5];
  return parts[part].floats(floats);
}

int64_t count_of(const Aft& shape, int64_t s) {
  return shape.at.positions[s] + shape.at.begins[s + 1] - shape.at.begins[s];
}

// body(sequence, first channel, channels)
template <typename Body>
void for_channels(const Aft& shape, Body body) {
  const int64_t blocks = (shape.cols + channel_block - 1) / channel_block;
  parallel_for(shape.at.sequences * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t channel = task % blocks * channel_block;
      body(task / blocks, channel, std::min(channel_block, shape.cols - channel));
    }
  });
}

// E [sequences, capacity, 2 cols]
void all_keys(const Aft& shape, ConstPlaces k, ConstPlaces v, float* e) {
  for_channels(shape, [&](int64_t s, int64_t channel, int64_t some) {
    const int64_t at = s * shape.at.capacity * shape.cols;
    HWY_DYNAMIC_DISPATCH(aft_keys)
    (count_of(shape, s), some, shape.cols, k[s] + channel, v[s] + channel, e + 2 * at + channel);
  });
}

float* block_weights(const Aft& shape, const Block& block, const float* w) {
  float* weights = memory(0, block.count() * block.width());
  HWY_DYNAMIC_DISPATCH(aft_weights)(block, w, shape.length, weights);
  return weights;
}

// One channel of one row, term by term. body(u, share of u)
template <typename Body>
void for_terms(const float* w, const float* k, int64_t count, int64_t cols, Body body) {
  float top = w[0] + k[0], sum = 0;
  for (int64_t u = 1; u < count; ++u) top = std::max(top, w[u] + k[u * cols]);
  for (int64_t u = 0; u < count; ++u) sum += std::exp(w[u] + k[u * cols] - top);
  for (int64_t u = 0; u < count; ++u) body(u, std::exp(w[u] + k[u * cols] - top) / sum);
}

// What the backward pass reads.
struct Pass {
  const float* w;
  ConstPlaces k, v;
  const float *y, *divisor, *dy;
  float *e, *dz, *lost;  // E; [rows, 2 cols]; [rows]
};

// dz, the gradient of divisor and numerator: -dy y / divisor, dy / divisor; and the number of channels of
// each row without a divisor.
void sums_backward(const Aft& shape, const Pass& p) {
  const int64_t cols = shape.cols, rows = shape.at.begins[shape.at.sequences];
  parallel_for(rows, std::max<int64_t>(1, 4096 / cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* dz = p.dz + 2 * row * cols;
      for (int64_t i = 0; i < cols; ++i) {
        const int64_t at = row * cols + i;
        dz[cols + i] = p.divisor[at] > 0 ? p.dy[at] / p.divisor[at] : 0.0f;
        dz[i] = -dz[cols + i] * p.y[at];
      }
      p.lost[row] =
          static_cast<float>(std::count(p.divisor + row * cols, p.divisor + (row + 1) * cols, 0.0f));
    }
  });
}

// body(row, channel, u, share of u) for the channels [channel, channel + some) of rows without a divisor.
template <typename Body>
void for_lost(const Aft& shape, const Pass& p, const Block& rows, int64_t channel, int64_t some, Body body) {
  const int64_t cols = shape.cols;
  for (int64_t r = 0; r < rows.rows; ++r) {
    const int64_t row = rows.row + r, t = rows.first + r;
    if (p.lost[row] == 0) continue;
    for (int64_t i = channel; i < channel + some; ++i)
      if (p.divisor[row * cols + i] == 0)
        for_terms(p.w + t * shape.length, p.k[rows.sequence] + i, t + 1, cols,
                  [&](int64_t u, float share) { body(row, i, u, share); });
  }
}

void keys_backward(const Aft& shape, const Pass& p, float* dk, float* dv) {
  const int64_t cols = shape.cols;
  for_channels(shape, [&](int64_t s, int64_t channel, int64_t some) {
    const int64_t count = count_of(shape, s), at = s * shape.at.capacity * cols + channel;
    float *de = memory(1, 2 * count * some), *dev = de + count * some;
    std::fill(de, de + 2 * count * some, 0.0f);
    for (int64_t i = 0; i < blocks_of(shape.at, s); ++i) {
      const Block block = block_of(shape.at, s, i);
      const float* weights = block_weights(shape, block, p.w);
      for (int64_t part = 0; part < 2; ++part) HWY_DYNAMIC_DISPATCH(aft_keys_share)
      (block, some, cols, weights, p.dz + (2 * block.row + part) * cols + channel, part == 0 ? de : dev);
    }
    const float* own = p.e + 2 * (at - channel) + channel;
    for (int64_t u = 0; u < count; ++u)
      for (int64_t i = 0; i < some; ++i) {
        const float x = own[2 * u * cols + i], xv = own[(2 * u + 1) * cols + i];
        if (dk) dk[at + u * cols + i] += x * de[u * some + i] + xv * dev[u * some + i];
        if (dv) dv[at + u * cols + i] += x * dev[u * some + i];
      }
    const Block rows{s, shape.at.begins[s], count - shape.at.positions[s], shape.at.positions[s]};
    for_lost(shape, p, rows, channel, some, [&](int64_t row, int64_t i, int64_t u, float share) {
      const int64_t there = at - channel + u * cols + i, here = row * cols + i;
      if (dv) dv[there] += share * p.dy[here];
      if (dk) dk[there] += share * (p.v[s][u * cols + i] - p.y[here]) * p.dy[here];
    });
  });
}

// Blocks of rows of w; each block processes all sequences in order.
void weights_backward(const Aft& shape, const Pass& p, float* dw) {
  const int64_t cols = shape.cols, whole = shape.at.capacity * cols;
  auto part_of = [&](int64_t s,
                     int64_t begin) {  // of the sequence, at positions begin ... begin + block_rows
    const int64_t first = std::max(begin, shape.at.positions[s]);
    const int64_t end = std::min(begin + block_rows, count_of(shape, s));
    return Block{s, shape.at.begins[s] + first - shape.at.positions[s], end - first, first};
  };
  parallel_for((shape.length + block_rows - 1) / block_rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task)
      for (int64_t s = 0; s < shape.at.sequences; ++s) {
        const Block block = part_of(s, task * block_rows);
        if (block.rows <= 0) continue;
        const float* weights = block_weights(shape, block, p.w);
        float* shares = memory(3, block.count() * block.width());
        HWY_DYNAMIC_DISPATCH(aft_weight_shares)
        (block, cols, p.e + 2 * s * whole, p.dz + 2 * block.row * cols, memory(2, 2 * cols * block.width()),
         shares);
        for (int64_t r = 0; r < block.rows; ++r)
          for (int64_t u = 0; u <= block.first + r; ++u)
            dw[(block.first + r) * shape.length + u] +=
                weights[u * block.width() + r] * shares[u * block.width() + r];
        for_lost(shape, p, block, 0, cols, [&](int64_t row, int64_t i, int64_t u, float share) {
          const int64_t here = row * cols + i;
          dw[(block.first + row - block.row) * shape.length + u] +=
              share * (p.v[s][u * cols + i] - p.y[here]) * p.dy[here];
        });
      }
  });
}

}  // namespace

int64_t aft_scratch(const Aft& shape) {
  const Histories& at = shape.at;
  return 2 * shape.cols * at.sequences * at.capacity + (2 * shape.cols + 1) * at.begins[at.sequences];
}

void aft(const Aft& shape, const float* w, ConstPlaces k, ConstPlaces v, float* y, float* divisor,
         float* scratch) {
  const int64_t cols = shape.cols;
  all_keys(shape, k, v, scratch);
  for_blocks(shape.at, 1, [&](int64_t, const Block& block) {
    const int64_t history = block.sequence * shape.at.capacity * cols;
    float* z = memory(4, 2 * block.rows * cols);
    HWY_DYNAMIC_DISPATCH(aft_sums)(block, cols, block_weights(shape, block, w), scratch + 2 * history, z);
    for (int64_t r = 0; r < block.rows; ++r) {
      float *out = y + (block.row + r) * cols, *kept = divisor + (block.row + r) * cols;
      const float* sums = z + 2 * r * cols;
      HWY_DYNAMIC_DISPATCH(divide)(sums + cols, sums, cols, out);
      for (int64_t i = 0; i < cols; ++i) {
        kept[i] = sums[i] >= smallest_divisor ? sums[i] : 0.0f;
        if (kept[i] > 0) continue;
        out[i] = 0;
        for_terms(w + (block.first + r) * shape.length, k[block.sequence] + i, block.first + r + 1, cols,
                  [&](int64_t u, float share) { out[i] += share * v[block.sequence][u * cols + i]; });
      }
    }
  });
}

void aft_backward(const Aft& shape, const float* w, ConstPlaces k, ConstPlaces v, const float* y,
                  const float* divisor, const float* dy, float* dw, float* dk, float* dv, float* scratch) {
  float* dz = scratch + 2 * shape.cols * shape.at.sequences * shape.at.capacity;
  float* lost = dz + 2 * shape.cols * shape.at.begins[shape.at.sequences];
  const Pass pass{w, k, v, y, divisor, dy, scratch, dz, lost};
  all_keys(shape, k, v, scratch);
  sums_backward(shape, pass);
  keys_backward(shape, pass, dk, dv);
  if (dw) weights_backward(shape, pass, dw);
}

}  // namespace aviary::kernels
#endif
