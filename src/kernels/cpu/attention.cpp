// Attention in blocks of queries. For a block, the weights of all keys are stored transposed, [keys, width],
// so that the softmax runs along the vector lanes and every product reads its factors in place. The backward
// pass recomputes the weights.
#include <algorithm>

#include "kernels/cpu/history_blocks.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/products-inl.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

using Lanes = hn::CappedTag<float, block_width>;
HWY_INLINE int64_t lanes() { return static_cast<int64_t>(hn::Lanes(Lanes())); }

// Causal: no row looks at a later one.
void hide_later(const Block& block, float value, float* weights) {
  for (int64_t u = block.first + 1; u < block.count(); ++u)
    std::fill_n(weights + u * block.width(), u - block.first, value);
}

void softmax(const Block& block, float* weights) {
  const Lanes d;
  const int64_t width = block.width(), end = block.count() * width;
  for (int64_t r = 0; r < width; r += lanes()) {
    auto top = hn::LoadU(d, weights + r), sum = hn::Zero(d);
    for (int64_t i = r; i < end; i += width) top = hn::Max(top, hn::LoadU(d, weights + i));
    for (int64_t i = r; i < end; i += width) {
      const auto e = hn::Exp(d, hn::Sub(hn::LoadU(d, weights + i), top));
      hn::StoreU(e, d, weights + i);
      sum = hn::Add(sum, e);
    }
    const auto scale = hn::Div(hn::Set(d, 1.0f), sum);
    for (int64_t i = r; i < end; i += width)
      hn::StoreU(hn::Mul(hn::LoadU(d, weights + i), scale), d, weights + i);
  }
}

// g: gradient of the probabilities on entry, of the scores on return.
void softmax_backward(const Block& block, const float* weights, float* g) {
  const Lanes d;
  const int64_t width = block.width(), end = block.count() * width;
  for (int64_t r = 0; r < width; r += lanes()) {
    auto mean = hn::Zero(d);
    for (int64_t i = r; i < end; i += width)
      mean = hn::MulAdd(hn::LoadU(d, g + i), hn::LoadU(d, weights + i), mean);
    for (int64_t i = r; i < end; i += width)
      hn::StoreU(hn::Mul(hn::LoadU(d, weights + i), hn::Sub(hn::LoadU(d, g + i), mean)), d, g + i);
  }
}

// The weights of one head before time weights and mixing; slope, if not null, receives the derivative of the
// cap. `turned` has room for [key_size, width].
void head_weights(const Attention& shape, const Block& block, const float* q, const float* k, float* turned,
                  float* weights, float* slope) {
  const int64_t n = shape.key_size, stride = shape.heads * n, width = block.width();
  turn(block.rows, n, q, stride, shape.scale, turned, width);
  product(block.count(), width, n, {k, stride, 1}, turned, width, false, weights, width);
  if (shape.cap > 0)
    for_vectors(block.count() * width, [&](auto d, int64_t i) HWY_ATTR {
      const auto soft = hn::Tanh(d, hn::Mul(hn::LoadU(d, weights + i), hn::Set(d, 1 / shape.cap)));
      hn::StoreU(hn::Mul(soft, hn::Set(d, shape.cap)), d, weights + i);
      if (slope) hn::StoreU(hn::NegMulAdd(soft, soft, hn::Set(d, 1.0f)), d, slope + i);
    });
  hide_later(block, shape.softmax ? -1e30f : 0.0f, weights);
  if (shape.softmax) softmax(block, weights);
}

// From the gradient g of a head's weights to those of q and k.
void head_weights_backward(const Attention& shape, const Block& block, const float* weights,
                           const float* slope, const float* q, const float* k, float* g, float* dq,
                           float* dk) {
  const int64_t n = shape.key_size, stride = shape.heads * n, width = block.width();
  if (shape.softmax) softmax_backward(block, weights, g);
  hide_later(block, 0, g);
  for_vectors(block.count() * width, [&](auto d, int64_t i) HWY_ATTR {
    auto x = hn::Mul(hn::LoadU(d, g + i), hn::Set(d, shape.scale));
    if (shape.cap > 0) x = hn::Mul(x, hn::LoadU(d, slope + i));
    hn::StoreU(x, d, g + i);
  });
  if (dq) product(block.rows, n, block.count(), {g, 1, width}, k, stride, true, dq, stride);
  if (dk) product(block.count(), n, block.rows, {g, width, 1}, q, stride, true, dk, stride);
}

// to = from w(t - u) alpha(u) beta(t). curve: w by lag; beta: of the block's rows.
void weigh_by_time(const Block& block, const float* curve, const float* alpha, const float* beta,
                   const float* from, float* to) {
  const Lanes d;
  for (int64_t u = 0; u < block.count(); ++u)
    for (int64_t r = 0; r < block.width(); r += lanes()) {
      const int64_t i = u * block.width() + r;
      const auto time = hn::Mul(hn::LoadU(d, curve + block.first - u + r), hn::LoadU(d, beta + r));
      hn::StoreU(hn::Mul(hn::LoadU(d, from + i), hn::Mul(time, hn::Set(d, alpha[u]))), d, to + i);
    }
}

// g: gradient of the result of weighing on entry, of `weights` on return.
void weigh_by_time_backward(const Block& block, const float* curve, const float* alpha, const float* beta,
                            const float* weights, float* g, float* dcurve, float* dalpha, float* dbeta) {
  const Lanes d;
  for (int64_t u = 0; u < block.count(); ++u) {
    auto sum = hn::Zero(d);
    for (int64_t r = 0; r < block.width(); r += lanes()) {
      const int64_t i = u * block.width() + r, lag = block.first - u + r;
      const auto w = hn::LoadU(d, curve + lag), a = hn::Set(d, alpha[u]), b = hn::LoadU(d, beta + r);
      const auto dweighed = hn::LoadU(d, g + i), dtime = hn::Mul(dweighed, hn::LoadU(d, weights + i));
      hn::StoreU(hn::MulAdd(dtime, hn::Mul(a, b), hn::LoadU(d, dcurve + lag)), d, dcurve + lag);
      hn::StoreU(hn::MulAdd(dtime, hn::Mul(w, a), hn::LoadU(d, dbeta + r)), d, dbeta + r);
      sum = hn::MulAdd(dtime, hn::Mul(w, b), sum);
      hn::StoreU(hn::Mul(dweighed, hn::Mul(w, hn::Mul(a, b))), d, g + i);
    }
    dalpha[u] += sum_of(d, sum);
  }
}

// to [heads, keys, width] = mix from, or mix^T from.
void mix_heads(const Attention& shape, const Block& block, bool transposed, const float* from, float* to) {
  const int64_t H = shape.heads, size = block.count() * block.width();
  const Factor mix = transposed ? Factor{shape.mix, 1, H} : Factor{shape.mix, H, 1};
  product(H, size, H, mix, from, size, false, to, size);
}

// dmix[o, i] += head o of dmixed times head i of weights.
void mix_heads_backward(const Attention& shape, const Block& block, const float* dmixed, const float* weights,
                        float* dmix) {
  const int64_t H = shape.heads, size = block.count() * block.width();
  for (int64_t o = 0; o < H; ++o)
    for (int64_t i = 0; i < H; ++i)
      dmix[o * H + i] += sum_vectors(size, [&](auto d, int64_t at) HWY_ATTR {
        return hn::Mul(hn::LoadU(d, dmixed + o * size + at), hn::LoadU(d, weights + i * size + at));
      });
}

// y [rows, value_size] of one head.
void weighted_values(const Attention& shape, const Block& block, const float* weights, const float* v,
                     float* y) {
  const int64_t n = shape.value_size, stride = shape.heads * n;
  product(block.rows, n, block.count(), {weights, 1, block.width()}, v, stride, false, y, stride);
}

// dv += weights^T dy, and dweights = the gradient of the weights. `turned` has room for [value_size, width].
void weighted_values_backward(const Attention& shape, const Block& block, const float* weights,
                              const float* v, const float* dy, float* turned, float* dweights, float* dv) {
  const int64_t n = shape.value_size, stride = shape.heads * n, width = block.width();
  turn(block.rows, n, dy, stride, 1, turned, width);
  product(block.count(), width, n, {v, stride, 1}, turned, width, false, dweights, width);
  if (dv) product(block.count(), n, block.rows, {weights, width, 1}, dy, stride, true, dv, stride);
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(head_weights);
HWY_EXPORT(head_weights_backward);
HWY_EXPORT(weigh_by_time);
HWY_EXPORT(weigh_by_time_backward);
HWY_EXPORT(mix_heads);
HWY_EXPORT(mix_heads_backward);
HWY_EXPORT(weighted_values);
HWY_EXPORT(weighted_values_backward);

// Number of heads that must be computed together: all if they are mixed.
int64_t group_of(const Attention& shape) { return shape.mix ? shape.heads : 1; }

// Offset of head h of a block in q, y and all gradients.
struct Place {
  int64_t q, dk, dv, y;
  Place(const Attention& shape, const Block& block, int64_t h)
      : q((block.row * shape.heads + h) * shape.key_size),
        dk((block.sequence * shape.at.capacity * shape.heads + h) * shape.key_size),
        dv((block.sequence * shape.at.capacity * shape.heads + h) * shape.value_size),
        y((block.row * shape.heads + h) * shape.value_size) {}
};

float* at(float* x, int64_t i) { return x ? x + i : nullptr; }

float* memory(int part, int64_t floats) {
  thread_local AlignedScratch parts[9];
  return parts[part].floats(floats);
}

// Working memory of one block: [group, keys, width] each, except slope [keys, width] and turned. Stages that
// do not change the weights share memory.
struct Workspace {
  float *weights, *weighed, *mixed, *dmixed, *dweights, *slope, *turned;
  int64_t one;  // head
  Workspace(const Attention& shape, const Block& block, bool backward) : one(block.count() * block.width()) {
    const int64_t all = group_of(shape) * one;
    weights = memory(0, all);
    weighed = shape.time.w && backward ? memory(1, all) : weights;
    mixed = shape.mix ? memory(2, all) : weighed;
    dmixed = backward ? memory(3, all) : nullptr;
    dweights = backward && shape.mix ? memory(4, all) : dmixed;
    slope = backward && shape.cap > 0 ? memory(5, one) : nullptr;
    turned = memory(6, std::max(shape.key_size, shape.value_size) * block.width());
  }
};

// The time weights of a head for a block.
struct TimeOfBlock {
  const float *curve, *alpha;
  float beta[block_rows] = {};
  TimeOfBlock(const Attention& shape, const Block& block, int64_t h)
      : curve(weights_by_lag(shape.time, h, memory(7, lag_floats(shape.time.length)))),
        alpha(shape.time.alpha + h * shape.time.length) {
    std::copy_n(shape.time.beta + h * shape.time.length + block.first, block.rows, beta);
  }
};

// Computes heads [first, first + group) up to the final weights, with which the values are multiplied.
void group_weights(const Attention& shape, const Block& block, int64_t first, const float* q, ConstPlaces k,
                   const Workspace& work) {
  for (int64_t g = 0; g < group_of(shape); ++g) {
    const Place place(shape, block, first + g);
    HWY_DYNAMIC_DISPATCH(head_weights)
    (shape, block, q + place.q, k[block.sequence] + (first + g) * shape.key_size, work.turned,
     work.weights + g * work.one, work.slope);
    if (!shape.time.w) continue;
    const TimeOfBlock time(shape, block, first + g);
    HWY_DYNAMIC_DISPATCH(weigh_by_time)
    (block, time.curve, time.alpha, time.beta, work.weights + g * work.one, work.weighed + g * work.one);
  }
  if (shape.mix) HWY_DYNAMIC_DISPATCH(mix_heads)(shape, block, false, work.weighed, work.mixed);
}

// Sums of one sequence for parameters: w, alpha, beta [heads, length], mix [heads, heads].
struct PartialSums {
  float *w, *alpha, *beta, *mix;
  PartialSums(const Attention& shape, float* memory)
      : w(memory),
        alpha(w + shape.heads * shape.time.length),
        beta(alpha + shape.heads * shape.time.length),
        mix(beta + shape.heads * shape.time.length) {}
};

void time_backward(const Attention& shape, const Block& block, int64_t h, const float* weights, float* g,
                   const PartialSums& sums) {
  const int64_t L = shape.time.length;
  const TimeOfBlock time(shape, block, h);
  float* dcurve = memory(8, lag_floats(L));
  std::fill(dcurve, dcurve + lag_floats(L), 0.0f);
  float dbeta[block_rows] = {};
  HWY_DYNAMIC_DISPATCH(weigh_by_time_backward)
  (block, time.curve, time.alpha, time.beta, weights, g, dcurve + block_rows, sums.alpha + h * L, dbeta);
  for (int64_t lag = 0; lag < L; ++lag) sums.w[h * L + L - 1 - lag] += dcurve[block_rows + lag];
  for (int64_t r = 0; r < block.rows; ++r) sums.beta[h * L + block.first + r] += dbeta[r];
}

void block_backward(const Attention& shape, const Block& block, int64_t first, const float* q, ConstPlaces k,
                    ConstPlaces v, const float* dy, const AttentionGradients& g, const PartialSums& sums) {
  const Workspace work(shape, block, true);
  const int64_t group = group_of(shape);
  group_weights(shape, block, first, q, k, work);
  for (int64_t h = 0; h < group; ++h) {
    const Place place(shape, block, first + h);
    HWY_DYNAMIC_DISPATCH(weighted_values_backward)
    (shape, block, work.mixed + h * work.one, v[block.sequence] + (first + h) * shape.value_size,
     dy + place.y, work.turned, work.dmixed + h * work.one, at(g.v, place.dv));
  }
  if (shape.mix) {
    HWY_DYNAMIC_DISPATCH(mix_heads_backward)(shape, block, work.dmixed, work.weighed, sums.mix);
    HWY_DYNAMIC_DISPATCH(mix_heads)(shape, block, true, work.dmixed, work.dweights);
  }
  for (int64_t h = 0; h < group; ++h) {
    const Place place(shape, block, first + h);
    float *weights = work.weights + h * work.one, *dweights = work.dweights + h * work.one;
    if (shape.time.w) time_backward(shape, block, first + h, weights, dweights, sums);
    HWY_DYNAMIC_DISPATCH(head_weights_backward)
    (shape, block, weights, work.slope, q + place.q, k[block.sequence] + (first + h) * shape.key_size,
     dweights, at(g.q, place.q), at(g.k, place.dk));
  }
}

}  // namespace

void attention(const Attention& shape, const float* q, ConstPlaces k, ConstPlaces v, float* y) {
  const int64_t group = group_of(shape);
  for_blocks(shape.at, shape.heads / group, [&](int64_t part, const Block& block) {
    const Workspace work(shape, block, false);
    group_weights(shape, block, part * group, q, k, work);
    for (int64_t h = 0; h < group; ++h) {
      const Place place(shape, block, part * group + h);
      HWY_DYNAMIC_DISPATCH(weighted_values)
      (shape, block, work.mixed + h * work.one, v[block.sequence] + (part * group + h) * shape.value_size,
       y + place.y);
    }
  });
}

int64_t attention_scratch(const Attention& shape) {
  const int64_t H = shape.heads;
  return shape.at.sequences * (3 * H * shape.time.length + (shape.mix ? H * H : 0));
}

void attention_backward(const Attention& shape, const float* q, ConstPlaces k, ConstPlaces v, const float* dy,
                        const AttentionGradients& gradients, float* scratch) {
  const int64_t S = shape.at.sequences, H = shape.heads, L = shape.time.length;
  const int64_t group = group_of(shape), parts = H / group, own = attention_scratch(shape) / S;
  std::fill(scratch, scratch + S * own, 0.0f);
  parallel_for(S * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t s = task / parts, first = task % parts * group;
      for (int64_t i = 0; i < blocks_of(shape.at, s); ++i)
        block_backward(shape, block_of(shape.at, s, i), first, q, k, v, dy, gradients,
                       PartialSums(shape, scratch + s * own));
    }
  });
  for (int64_t s = 0; s < S; ++s) {
    const PartialSums sums(shape, scratch + s * own);
    if (gradients.time.w) add(sums.w, H * L, gradients.time.w);
    if (gradients.time.alpha) add(sums.alpha, H * L, gradients.time.alpha);
    if (gradients.time.beta) add(sums.beta, H * L, gradients.time.beta);
    if (gradients.mix) add(sums.mix, H * H, gradients.mix);
  }
}

}  // namespace aviary::kernels
#endif
