// The parts of RWKV-7's time mixing before and after the recurrence that work on each head: keys and output.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/heads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rwkv7.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

constexpr float smallest_norm = 1e-12f;

HWY_INLINE float norm_of_keys(int64_t n, const float* k, const float* k_k) {
  return std::sqrt(sum_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto scaled = hn::Mul(hn::LoadU(d, k + i), hn::LoadU(d, k_k + i));
    return hn::Mul(scaled, scaled);
  }));
}

void keys_head(int64_t n, const float* k, const float* k_k, const float* a, const float* k_a, float* out_k,
               float* minus_kk, float* kk_a) {
  const float inverse = 1.0f / std::max(norm_of_keys(n, k, k_k), smallest_norm);
  for_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto key = hn::LoadU(d, k + i), rate = hn::LoadU(d, a + i), one = hn::Set(d, 1.0f);
    const auto kk = hn::Mul(hn::Mul(key, hn::LoadU(d, k_k + i)), hn::Set(d, inverse));
    const auto factor = hn::MulAdd(hn::Sub(rate, one), hn::LoadU(d, k_a + i), one);
    hn::StoreU(hn::Mul(key, factor), d, out_k + i);
    hn::StoreU(hn::Neg(kk), d, minus_kk + i);
    hn::StoreU(hn::Mul(kk, rate), d, kk_a + i);
  });
}

// With z = k k_k, kk = z / |z| and dkk = dkk_a a - dminus_kk: dz = (dkk - kk (kk . dkk)) / |z|.
void keys_head_backward(int64_t n, const float* k, const float* k_k, const float* a, const float* k_a,
                        const float* dout_k, const float* dminus_kk, const float* dkk_a, float* dk,
                        float* dk_k, float* da, float* dk_a) {
  const float norm = norm_of_keys(n, k, k_k);
  const float inverse = 1.0f / std::max(norm, smallest_norm);
  const float dot = sum_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto kk = hn::Mul(hn::Mul(hn::LoadU(d, k + i), hn::LoadU(d, k_k + i)), hn::Set(d, inverse));
    const auto dkk = hn::MulSub(hn::LoadU(d, dkk_a + i), hn::LoadU(d, a + i), hn::LoadU(d, dminus_kk + i));
    return hn::Mul(kk, dkk);
  });
  const float along = norm > smallest_norm ? dot : 0.0f;
  for_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto key = hn::LoadU(d, k + i), scale = hn::LoadU(d, k_k + i), rate = hn::LoadU(d, a + i);
    const auto one = hn::Set(d, 1.0f), less = hn::Sub(rate, one), mix = hn::LoadU(d, k_a + i);
    const auto kk = hn::Mul(hn::Mul(key, scale), hn::Set(d, inverse));
    const auto g_kka = hn::LoadU(d, dkk_a + i), g_k = hn::LoadU(d, dout_k + i);
    const auto dkk = hn::MulSub(g_kka, rate, hn::LoadU(d, dminus_kk + i));
    const auto dz = hn::Mul(hn::NegMulAdd(kk, hn::Set(d, along), dkk), hn::Set(d, inverse));
    const auto key_part = hn::MulAdd(g_k, hn::MulAdd(less, mix, one), hn::Mul(dz, scale));
    hn::StoreU(hn::Add(hn::LoadU(d, dk + i), key_part), d, dk + i);
    const auto gk_key = hn::Mul(g_k, key);
    hn::StoreU(hn::Add(hn::LoadU(d, da + i), hn::MulAdd(g_kka, kk, hn::Mul(gk_key, mix))), d, da + i);
    hn::StoreU(hn::MulAdd(dz, key, hn::LoadU(d, dk_k + i)), d, dk_k + i);
    hn::StoreU(hn::MulAdd(gk_key, less, hn::LoadU(d, dk_a + i)), d, dk_a + i);
  });
}

struct HeadStatistics {
  float mean, rstd, bonus;  // bonus = sum of r k r_k
};

HWY_INLINE HeadStatistics statistics(int64_t n, const float* y, const float* r, const float* k,
                                     const float* r_k, float epsilon) {
  const float mean =
      sum_vectors(n, [&](auto d, int64_t i) HWY_ATTR { return hn::LoadU(d, y + i); }) / static_cast<float>(n);
  const float variance = sum_vectors(n,
                                     [&](auto d, int64_t i) HWY_ATTR {
                                       const auto centered = hn::Sub(hn::LoadU(d, y + i), hn::Set(d, mean));
                                       return hn::Mul(centered, centered);
                                     }) /
                         static_cast<float>(n);
  const float bonus = sum_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
    return hn::Mul(hn::Mul(hn::LoadU(d, r + i), hn::LoadU(d, k + i)), hn::LoadU(d, r_k + i));
  });
  return {mean, 1.0f / std::sqrt(variance + epsilon), bonus};
}

void output_head(int64_t n, const Rwkv7OutputInputs& in, float epsilon, float* out) {
  const HeadStatistics s = statistics(n, in.y, in.r, in.k, in.r_k, epsilon);
  for_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto normed = hn::Mul(hn::Sub(hn::LoadU(d, in.y + i), hn::Set(d, s.mean)), hn::Set(d, s.rstd));
    const auto scaled = hn::MulAdd(normed, hn::LoadU(d, in.weight + i), hn::LoadU(d, in.bias + i));
    const auto whole = hn::MulAdd(hn::Set(d, s.bonus), hn::LoadU(d, in.v + i), scaled);
    hn::StoreU(hn::Mul(whole, hn::LoadU(d, in.g + i)), d, out + i);
  });
}

// h = dout g is the gradient before the gate; the norm's share is that of a layer norm over the head.
void output_head_backward(int64_t n, const Rwkv7OutputInputs& in, float epsilon, const float* dout,
                          const Rwkv7OutputGradients& g) {
  const HeadStatistics s = statistics(n, in.y, in.r, in.k, in.r_k, epsilon);
  auto before_gate = [&](auto d, int64_t i)
                         HWY_ATTR { return hn::Mul(hn::LoadU(d, dout + i), hn::LoadU(d, in.g + i)); };
  auto normed_at = [&](auto d, int64_t i) HWY_ATTR {
    return hn::Mul(hn::Sub(hn::LoadU(d, in.y + i), hn::Set(d, s.mean)), hn::Set(d, s.rstd));
  };
  const float count = static_cast<float>(n);
  const float mean_h =
      sum_vectors(n, [&](auto d, int64_t i)
                         HWY_ATTR { return hn::Mul(before_gate(d, i), hn::LoadU(d, in.weight + i)); }) /
      count;
  const float mean_hn =
      sum_vectors(n,
                  [&](auto d, int64_t i) HWY_ATTR {
                    return hn::Mul(hn::Mul(before_gate(d, i), hn::LoadU(d, in.weight + i)), normed_at(d, i));
                  }) /
      count;
  const float dbonus = sum_vectors(
      n, [&](auto d, int64_t i) HWY_ATTR { return hn::Mul(before_gate(d, i), hn::LoadU(d, in.v + i)); });
  auto add_to = [&](auto d, float* to, auto value)
                    HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, to), value), d, to); };
  for_vectors(n, [&](auto d, int64_t i) HWY_ATTR {
    const auto h = before_gate(d, i), normed = normed_at(d, i);
    const auto weight = hn::LoadU(d, in.weight + i), value = hn::LoadU(d, in.v + i);
    const auto r = hn::LoadU(d, in.r + i), k = hn::LoadU(d, in.k + i), r_k = hn::LoadU(d, in.r_k + i);
    const auto whole =
        hn::MulAdd(hn::Set(d, s.bonus), value, hn::MulAdd(normed, weight, hn::LoadU(d, in.bias + i)));
    add_to(d, g.g + i, hn::Mul(hn::LoadU(d, dout + i), whole));
    const auto centered =
        hn::NegMulAdd(normed, hn::Set(d, mean_hn), hn::MulSub(h, weight, hn::Set(d, mean_h)));
    add_to(d, g.y + i, hn::Mul(centered, hn::Set(d, s.rstd)));
    add_to(d, g.v + i, hn::Mul(h, hn::Set(d, s.bonus)));
    const auto db = hn::Set(d, dbonus);
    add_to(d, g.r + i, hn::Mul(db, hn::Mul(k, r_k)));
    add_to(d, g.k + i, hn::Mul(db, hn::Mul(r, r_k)));
    add_to(d, g.r_k + i, hn::Mul(db, hn::Mul(r, k)));
    add_to(d, g.weight + i, hn::Mul(h, normed));
    add_to(d, g.bias + i, h);
  });
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(keys_head);
HWY_EXPORT(keys_head_backward);
HWY_EXPORT(output_head);
HWY_EXPORT(output_head_backward);

}  // namespace

void rwkv7_keys(const Heads& shape, const float* k, const float* k_k, const float* a, const float* k_a,
                float* out_k, float* minus_kk, float* kk_a) {
  for_heads(shape, [&](int64_t c, int64_t at) {
    HWY_DYNAMIC_DISPATCH(keys_head)
    (shape.head_size, k + at, k_k + c, a + at, k_a + c, out_k + at, minus_kk + at, kk_a + at);
  });
}

void rwkv7_keys_backward(const Heads& shape, const float* k, const float* k_k, const float* a,
                         const float* k_a, const float* dout_k, const float* dminus_kk, const float* dkk_a,
                         float* dk, float* dk_k, float* da, float* dk_a, float* scratch) {
  const int64_t cols = shape.heads * shape.head_size;
  float* const sums[] = {dk_k, dk_a};
  for_heads_in_blocks(shape, 2, sums, scratch, [&](int64_t c, int64_t at, float* partial) {
    HWY_DYNAMIC_DISPATCH(keys_head_backward)
    (shape.head_size, k + at, k_k + c, a + at, k_a + c, dout_k + at, dminus_kk + at, dkk_a + at, dk + at,
     partial + c, da + at, partial + cols + c);
  });
}

void rwkv7_output(const Heads& shape, const Rwkv7OutputInputs& in, float epsilon, float* out) {
  for_heads(shape, [&](int64_t c, int64_t at) {
    const Rwkv7OutputInputs head = {in.y + at, in.r + at,  in.k + at,     in.v + at,
                                    in.g + at, in.r_k + c, in.weight + c, in.bias + c};
    HWY_DYNAMIC_DISPATCH(output_head)(shape.head_size, head, epsilon, out + at);
  });
}

void rwkv7_output_backward(const Heads& shape, const Rwkv7OutputInputs& in, float epsilon, const float* dout,
                           const Rwkv7OutputGradients& g, float* scratch) {
  const int64_t cols = shape.heads * shape.head_size;
  float* const sums[] = {g.r_k, g.weight, g.bias};
  for_heads_in_blocks(shape, 3, sums, scratch, [&](int64_t c, int64_t at, float* partial) {
    const Rwkv7OutputInputs head = {in.y + at, in.r + at,  in.k + at,     in.v + at,
                                    in.g + at, in.r_k + c, in.weight + c, in.bias + c};
    const Rwkv7OutputGradients to = {g.y + at, g.r + at,    g.k + at,           g.v + at,
                                     g.g + at, partial + c, partial + cols + c, partial + 2 * cols + c};
    HWY_DYNAMIC_DISPATCH(output_head_backward)(shape.head_size, head, epsilon, dout + at, to);
  });
}

}  // namespace aviary::kernels
#endif
