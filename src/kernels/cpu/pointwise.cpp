// Elementwise functions: activations, gates, dropout, sums of squares.
#include <algorithm>
#include <vector>

#include "base/threads.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pointwise.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {

// The normal distribution function, from an approximation of erf with an error of at most 1.5e-7 (Abramowitz
// and Stegun, Handbook of Mathematical Functions, 7.1.26). bell = e^(-x^2 / 2).
template <class D>
HWY_INLINE hn::Vec<D> probability(D d, hn::Vec<D> x, hn::Vec<D> bell) {
  const auto one = hn::Set(d, 1.0f);
  const auto t = hn::Div(one, hn::MulAdd(hn::Set(d, 0.3275911f * 0.70710678f), hn::Abs(x), one));
  auto sum = hn::Set(d, 1.061405429f);
  for (float term : {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f})
    sum = hn::MulAdd(sum, t, hn::Set(d, term));
  const auto above = hn::Mul(hn::Mul(hn::Set(d, 0.5f), bell), hn::Mul(sum, t));  // beyond |x|
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), above, hn::Sub(one, above));
}

template <class D>
HWY_INLINE hn::Vec<D> bell(D d, hn::Vec<D> x) {
  return hn::Exp(d, hn::Mul(hn::Mul(hn::Set(d, -0.5f), x), x));
}

// tanh(log(1 + n)) = w / (w + 2) with w = n^2 + 2n and n = e^x, which is 1 long before n overflows.
template <class D>
struct Mish {
  hn::Vec<D> n, w, divisor;
  HWY_INLINE Mish(D d, hn::Vec<D> x) {
    const auto two = hn::Set(d, 2.0f);
    n = hn::Exp(d, hn::Min(x, hn::Set(d, 20.0f)));
    w = hn::Mul(n, hn::Add(n, two));
    divisor = hn::Add(w, two);
  }
};

template <Activation kind, class D>
HWY_INLINE hn::Vec<D> apply(D d, hn::Vec<D> x) {
  if constexpr (kind == Activation::tanh) {  // 2 sigmoid(2x) - 1 is inaccurate for small x, so use the
                                             // library function
    return hn::Tanh(d, x);
  } else if constexpr (kind == Activation::sigmoid) {
    return sigmoid(d, x);
  } else if constexpr (kind == Activation::relu_squared) {
    const auto positive = hn::Max(x, hn::Zero(d));
    return hn::Mul(positive, positive);
  } else if constexpr (kind == Activation::gelu) {
    return hn::Mul(x, probability(d, x, bell(d, x)));
  } else if constexpr (kind == Activation::mish) {
    const Mish mish(d, x);
    return hn::Mul(x, hn::Div(mish.w, mish.divisor));
  } else {
    return x;
  }
}

template <Activation kind>
void activate_as(const float* x, const float* bias, int64_t rows, int64_t cols, float* y) {
  if (!bias) {
    cols *= rows;
    rows = cols > 0 ? 1 : 0;
  }
  for (int64_t row = 0; row < rows; ++row) {
    const float* from = x + row * cols;
    float* to = y + row * cols;
    for_vectors(cols, [&](auto d, int64_t i) HWY_ATTR {
      auto value = hn::LoadU(d, from + i);
      if (bias) value = hn::Add(value, hn::LoadU(d, bias + i));
      hn::StoreU(apply<kind>(d, value), d, to + i);
    });
  }
}

void activate_rows(Activation kind, const float* x, const float* bias, int64_t rows, int64_t cols, float* y) {
  switch (kind) {
    case Activation::none:
      return activate_as<Activation::none>(x, bias, rows, cols, y);
    case Activation::tanh:
      return activate_as<Activation::tanh>(x, bias, rows, cols, y);
    case Activation::sigmoid:
      return activate_as<Activation::sigmoid>(x, bias, rows, cols, y);
    case Activation::relu_squared:
      return activate_as<Activation::relu_squared>(x, bias, rows, cols, y);
    case Activation::gelu:
      return activate_as<Activation::gelu>(x, bias, rows, cols, y);
    case Activation::mish:
      return activate_as<Activation::mish>(x, bias, rows, cols, y);
  }
}

// P(x) + x P'(x)
template <class D>
HWY_INLINE hn::Vec<D> gelu_slope(D d, hn::Vec<D> x) {
  const auto e = bell(d, x);
  return hn::MulAdd(hn::Mul(x, hn::Set(d, 0.39894228f)), e, probability(d, x, e));
}

// s + x ds/dx with s = w / (w + 2): ds/dx = 4 n (n + 1) / (w + 2)^2
template <class D>
HWY_INLINE hn::Vec<D> mish_slope(D d, hn::Vec<D> x) {
  const Mish mish(d, x);
  const auto inverse = hn::Div(hn::Set(d, 1.0f), mish.divisor);
  const auto n = hn::Mul(mish.n, inverse);
  const auto slope = hn::Mul(hn::Mul(hn::Set(d, 4.0f), n), hn::Add(n, inverse));
  return hn::MulAdd(x, slope, hn::Mul(mish.w, inverse));
}

void activate_backward_range(Activation kind, const float* kept, int64_t count, float* gradient) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto y = hn::LoadU(d, kept + i);
    auto g = hn::LoadU(d, gradient + i);
    if (kind == Activation::tanh)
      g = hn::Mul(g, hn::NegMulAdd(y, y, hn::Set(d, 1.0f)));
    else if (kind == Activation::sigmoid)
      g = hn::Mul(g, hn::NegMulAdd(y, y, y));
    else if (kind == Activation::relu_squared)
      g = hn::Mul(g, hn::Mul(hn::Set(d, 2.0f), hn::Max(y, hn::Zero(d))));
    else if (kind == Activation::gelu)
      g = hn::Mul(g, gelu_slope(d, y));
    else if (kind == Activation::mish)
      g = hn::Mul(g, mish_slope(d, y));
    hn::StoreU(g, d, gradient + i);
  });
}

void sigmoid_gate_range(const float* r, const float* x, const float* residual, int64_t count, float* y) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto gate = sigmoid(d, hn::LoadU(d, r + i));
    const auto value = hn::LoadU(d, x + i);
    hn::StoreU(residual ? hn::MulAdd(gate, value, hn::LoadU(d, residual + i)) : hn::Mul(gate, value), d,
               y + i);
  });
}

void sigmoid_gate_backward_range(const float* r, const float* x, const float* dy, int64_t count, float* dr,
                                 float* dx) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto gate = sigmoid(d, hn::LoadU(d, r + i));
    const auto g = hn::Mul(hn::LoadU(d, dy + i), gate);
    if (dx) hn::StoreU(hn::Add(hn::LoadU(d, dx + i), g), d, dx + i);
    const auto slope = hn::Mul(hn::LoadU(d, x + i), hn::Sub(hn::Set(d, 1.0f), gate));
    if (dr) hn::StoreU(hn::MulAdd(g, slope, hn::LoadU(d, dr + i)), d, dr + i);
  });
}

void lerp_range(const float* v, const float* v_first, const float* gate, int64_t count, float* out) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto from = hn::LoadU(d, v + i);
    const auto step = hn::Sub(hn::LoadU(d, v_first + i), from);
    hn::StoreU(hn::MulAdd(step, hn::LoadU(d, gate + i), from), d, out + i);
  });
}

void lerp_backward_range(const float* v, const float* v_first, const float* gate, const float* dout,
                         int64_t count, float* dv, float* dv_first, float* dgate) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto g = hn::LoadU(d, dout + i);
    const auto part = hn::Mul(g, hn::LoadU(d, gate + i));
    if (dv) hn::StoreU(hn::Add(hn::LoadU(d, dv + i), hn::Sub(g, part)), d, dv + i);
    if (dv_first) hn::StoreU(hn::Add(hn::LoadU(d, dv_first + i), part), d, dv_first + i);
    const auto step = hn::Sub(hn::LoadU(d, v_first + i), hn::LoadU(d, v + i));
    if (dgate) hn::StoreU(hn::MulAdd(g, step, hn::LoadU(d, dgate + i)), d, dgate + i);
  });
}

void mul_range(const float* a, const float* b, int64_t count, float* y) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    hn::StoreU(hn::Mul(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, y + i);
  });
}

void mul_backward_range(const float* a, const float* b, const float* dy, int64_t count, float* da,
                        float* db) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto g = hn::LoadU(d, dy + i);
    if (da) hn::StoreU(hn::MulAdd(g, hn::LoadU(d, b + i), hn::LoadU(d, da + i)), d, da + i);
    if (db) hn::StoreU(hn::MulAdd(g, hn::LoadU(d, a + i), hn::LoadU(d, db + i)), d, db + i);
  });
}

void add_range(const float* x, int64_t count, float* y) {
  for_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    hn::StoreU(hn::Add(hn::LoadU(d, y + i), hn::LoadU(d, x + i)), d, y + i);
  });
}

float sum_of_squares_range(const float* x, int64_t count) {
  return sum_vectors(count, [&](auto d, int64_t i) HWY_ATTR {
    const auto value = hn::LoadU(d, x + i);
    return hn::Mul(value, value);
  });
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace aviary::kernels {
namespace {

HWY_EXPORT(activate_rows);
HWY_EXPORT(activate_backward_range);
HWY_EXPORT(sigmoid_gate_range);
HWY_EXPORT(sigmoid_gate_backward_range);
HWY_EXPORT(lerp_range);
HWY_EXPORT(lerp_backward_range);
HWY_EXPORT(mul_range);
HWY_EXPORT(mul_backward_range);
HWY_EXPORT(add_range);
HWY_EXPORT(sum_of_squares_range);

constexpr int64_t grain = 8192;  // elements that justify another thread

int64_t row_grain(int64_t cols) { return std::max<int64_t>(1, grain / std::max<int64_t>(cols, 1)); }

float* at(float* x, int64_t i) { return x ? x + i : nullptr; }

}  // namespace

void activate(Activation kind, const float* x, const float* bias, int64_t rows, int64_t cols, float* y) {
  parallel_for(rows, row_grain(cols), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(activate_rows)(kind, x + begin * cols, bias, end - begin, cols, y + begin * cols);
  });
}

void activate_backward(Activation kind, const float* kept, int64_t count, float* g) {
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(activate_backward_range)(kind, kept + begin, end - begin, g + begin);
  });
}

void sigmoid_gate(const float* r, const float* x, const float* residual, int64_t count, float* y) {
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(sigmoid_gate_range)
    (r + begin, x + begin, residual ? residual + begin : nullptr, end - begin, y + begin);
  });
}

void sigmoid_gate_backward(const float* r, const float* x, const float* dy, int64_t count, float* dr,
                           float* dx) {
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(sigmoid_gate_backward_range)
    (r + begin, x + begin, dy + begin, end - begin, at(dr, begin), at(dx, begin));
  });
}

void lerp(const float* v, const float* v_first, const float* gate, int64_t count, float* out) {
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(lerp_range)(v + begin, v_first + begin, gate + begin, end - begin, out + begin);
  });
}

void lerp_backward(const float* v, const float* v_first, const float* gate, const float* dout, int64_t count,
                   float* dv, float* dv_first, float* dgate) {
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(lerp_backward_range)
    (v + begin, v_first + begin, gate + begin, dout + begin, end - begin, at(dv, begin), at(dv_first, begin),
     at(dgate, begin));
  });
}

void mul(const float* a, const float* b, int64_t count, float* y) {
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(mul_range)(a + begin, b + begin, end - begin, y + begin);
  });
}

void mul_backward(const float* a, const float* b, const float* dy, int64_t count, float* da, float* db) {
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(mul_backward_range)
    (a + begin, b + begin, dy + begin, end - begin, at(da, begin), at(db, begin));
  });
}

void add(const float* x, int64_t count, float* y) {
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(add_range)(x + begin, end - begin, y + begin);
  });
}

void sum_rows(const float* x, int64_t rows, int64_t cols, float* y, float* scratch) {
  std::fill(scratch, scratch + row_blocks * cols, 0.0f);
  parallel_for(row_blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block)
      for (int64_t row = block * rows / row_blocks; row < (block + 1) * rows / row_blocks; ++row)
        HWY_DYNAMIC_DISPATCH(add_range)(x + row * cols, cols, scratch + block * cols);
  });
  for (int64_t block = 0; block < row_blocks; ++block)
    HWY_DYNAMIC_DISPATCH(add_range)(scratch + block * cols, cols, y);
}

void dropout(const float* x, double p, uint64_t seed, int64_t count, float* y) {
  const uint32_t threshold = static_cast<uint32_t>(p * 4294967296.0);
  const float scale = static_cast<float>(1.0 / (1.0 - p));
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      uint64_t z = seed + 0x9e3779b97f4a7c15ULL * static_cast<uint64_t>(i + 1);
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
      y[i] = static_cast<uint32_t>(z >> 32) >= threshold ? x[i] * scale : 0.0f;
    }
  });
}

double sum_of_squares(const float* x, int64_t count) {
  constexpr int64_t piece = 4096;  // summed in float32; the pieces in double, in order
  const int64_t pieces = (count + piece - 1) / piece;
  double total = 0;
  constexpr int64_t batch = 1024;
  double sums[batch];
  for (int64_t first = 0; first < pieces; first += batch) {
    const int64_t some = std::min(batch, pieces - first);
    parallel_for(some, 4, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t from = (first + i) * piece;
        sums[i] = HWY_DYNAMIC_DISPATCH(sum_of_squares_range)(x + from, std::min(piece, count - from));
      }
    });
    for (int64_t i = 0; i < some; ++i) total += sums[i];
  }
  return total;
}

}  // namespace aviary::kernels
#endif
