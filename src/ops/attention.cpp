// Attention (Vaswani et al. 2017, arXiv 1706.03762) over histories, with the extensions used by RWKV models.
//   s = scale q_t k_u, capped: s = cap tanh(scale q_t k_u / cap);  p = softmax(s) over u <= t, or p = s
//   a = p w(t - u) alpha_u beta_t;  m_o = sum_i mix_oi a_i over the heads;  y_t = sum_u m v_u
// Backward: dm = dy_t v_u,  dv_u = sum_t m dy_t,  dmix_oi = sum dm_o a_i,  da_i = sum_o mix_oi dm_o,
//   dw = sum da p alpha beta (alpha, beta alike),  dp = da w alpha beta,  ds = p (dp - sum_u dp p), or dp,
//   capped: times 1 - (s / cap)^2;  dq_t = scale sum_u ds k_u,  dk_u = scale sum_t ds q_t
#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/histories.h"
#include "ops/ops.h"

namespace aviary {
namespace {

struct Call {
  Var q, k, v, y;
  Places keys, values;  // addresses of the histories
  Attention options;
  kernels::Attention shape;
};

using Doubles = std::vector<double>;

// The weights of one row, for every head and every stage of the formula: [heads, count].
class Row {
 public:
  Row(const Call& call, int64_t row, int64_t position, int64_t sequence)
      : call_(call),
        H_(call.shape.heads),
        count_(position + 1),
        position_(position),
        q_(row * H_ * call.shape.key_size),
        y_(row * H_ * call.shape.value_size),
        k_(call.keys.as<double>()[sequence]),
        v_(call.values.as<double>()[sequence]) {
    for (Doubles* part : {&slope, &p, &a, &m}) part->assign(static_cast<size_t>(H_ * count_), 0);
    for (int64_t h = 0; h < H_; ++h) find_weights(h);
    for (int64_t i = 0; i < H_ * count_; ++i) a[at(i)] = p[at(i)] * time(i / count_, i % count_);
    if (!call.options.mix) m = a;
    for (int64_t o = 0; call.options.mix && o < H_; ++o)
      for (int64_t i = 0; i < H_; ++i)
        for (int64_t u = 0; u < count_; ++u)
          m[at(o * count_ + u)] += mix()[o * H_ + i] * a[at(i * count_ + u)];
  }

  void forward() const {
    const int64_t n = call_.shape.value_size;
    double* y = call_.y.value.as<double>() + y_;
    std::fill(y, y + H_ * n, 0.0);
    for_values([&](int64_t i, int64_t j, int64_t v) { y[j] += m[at(i)] * v_[v]; });
  }

  // Adds to the gradients, any of which may be null; k and v are those of the sequence.
  struct Gradients {
    double *q, *k, *v, *w, *alpha, *beta, *mix;
  };
  void backward(const double* dy, const Gradients& g) const {
    Doubles dm(m.size());
    for_values([&](int64_t i, int64_t j, int64_t v) {
      dm[at(i)] += dy[y_ + j] * v_[v];
      if (g.v) g.v[v] += m[at(i)] * dy[y_ + j];
    });
    const Doubles da = call_.options.mix ? mix_backward(dm, g) : dm;
    for (int64_t h = 0; h < H_; ++h) weights_backward(h, da.data() + h * count_, g);
  }

 private:
  static size_t at(int64_t i) { return static_cast<size_t>(i); }
  const double* mix() const { return call_.options.mix->value().as<double>(); }
  // Offsets in w, alpha and beta, for head h and key u.
  int64_t w_at(int64_t h, int64_t u) const { return (h + 1) * call_.shape.time.length - 1 - (position_ - u); }
  int64_t alpha_at(int64_t h, int64_t u) const { return h * call_.shape.time.length + u; }
  int64_t beta_at(int64_t h) const { return h * call_.shape.time.length + position_; }
  double time(int64_t h, int64_t u) const {
    const TimeWeights& time = call_.options.time;
    if (!time.w) return 1;
    return time.w->value().as<double>()[w_at(h, u)] * time.alpha->value().as<double>()[alpha_at(h, u)] *
           time.beta->value().as<double>()[beta_at(h)];
  }
  // body(weight, column of q and of this row's head, element of k)
  template <typename Body>
  void for_keys(int64_t h, Body body) const {
    const int64_t n = call_.shape.key_size;
    for (int64_t u = 0; u < count_; ++u)
      for (int64_t j = h * n; j < (h + 1) * n; ++j) body(h * count_ + u, q_ + j, u * H_ * n + j);
  }
  // body(weight, column of y, element of v)
  template <typename Body>
  void for_values(Body body) const {
    const int64_t n = call_.shape.value_size;
    for (int64_t h = 0; h < H_; ++h)
      for (int64_t u = 0; u < count_; ++u)
        for (int64_t j = h * n; j < (h + 1) * n; ++j) body(h * count_ + u, j, u * H_ * n + j);
  }

  void find_weights(int64_t h) {
    const double *q = call_.q.value.as<double>(), cap = call_.options.cap;
    for_keys(h, [&](int64_t i, int64_t j, int64_t key) { p[at(i)] += call_.options.scale * q[j] * k_[key]; });
    double *first = p.data() + h * count_, *end = first + count_, sum = 0;
    for (double* s = first; s != end; ++s) {
      const double soft = cap > 0 ? std::tanh(*s / cap) : 0;
      slope[at(s - p.data())] = 1 - soft * soft;
      if (cap > 0) *s = cap * soft;
    }
    if (!call_.options.softmax) return;
    const double top = *std::max_element(first, end);
    for (double* s = first; s != end; ++s) sum += * s = std::exp(*s - top);
    for (double* s = first; s != end; ++s) *s /= sum;
  }

  Doubles mix_backward(const Doubles& dm, const Gradients& g) const {
    Doubles da(dm.size());
    for (int64_t o = 0; o < H_; ++o)
      for (int64_t i = 0; i < H_; ++i)
        for (int64_t u = 0; u < count_; ++u) {
          if (g.mix) g.mix[o * H_ + i] += dm[at(o * count_ + u)] * a[at(i * count_ + u)];
          da[at(i * count_ + u)] += mix()[o * H_ + i] * dm[at(o * count_ + u)];
        }
    return da;
  }

  void weights_backward(int64_t h, const double* da, const Gradients& g) const {
    const TimeWeights& time_weights = call_.options.time;
    const double* own = p.data() + h * count_;
    Doubles ds(at(count_));
    double mean = 0;
    for (int64_t u = 0; u < count_; ++u) {
      ds[at(u)] = da[u] * time(h, u);
      mean += ds[at(u)] * own[u];
      if (!time_weights.w) continue;
      const double w = time_weights.w->value().as<double>()[w_at(h, u)], dtime = da[u] * own[u],
                   alpha = time_weights.alpha->value().as<double>()[alpha_at(h, u)],
                   beta = time_weights.beta->value().as<double>()[beta_at(h)];
      if (g.w) g.w[w_at(h, u)] += dtime * alpha * beta;
      if (g.alpha) g.alpha[alpha_at(h, u)] += dtime * w * beta;
      if (g.beta) g.beta[beta_at(h)] += dtime * w * alpha;
    }
    for (int64_t u = 0; u < count_; ++u) {
      if (call_.options.softmax) ds[at(u)] = own[u] * (ds[at(u)] - mean);
      ds[at(u)] *= slope[at(h * count_ + u)] * call_.options.scale;
    }
    for_keys(h, [&](int64_t i, int64_t j, int64_t key) {
      if (g.q) g.q[j] += ds[at(i - h * count_)] * k_[key];
      if (g.k) g.k[key] += ds[at(i - h * count_)] * call_.q.value.as<double>()[j];
    });
  }

  const Call& call_;
  int64_t H_, count_, position_, q_, y_;
  const double *k_, *v_;  // the histories of the sequence
  Doubles slope, p, a, m;
};

template <typename T>
T* gradient_of(const Weight* weight) {
  return weight ? weight->gradient().as<T>() : nullptr;
}

void backward(Tape& tape, const Call& call) {
  const Tensor dy = tape.gradient(call.y), dq = tape.gradient(call.q), dk = tape.gradient(call.k),
               dv = tape.gradient(call.v);
  const auto& [w, alpha, beta] = call.options.time;
  if (dy.dtype() == Dtype::f64) {
    const Row::Gradients g{dq.as<double>(),
                           dk.as<double>(),
                           dv.as<double>(),
                           gradient_of<double>(w),
                           gradient_of<double>(alpha),
                           gradient_of<double>(beta),
                           gradient_of<double>(call.options.mix)};
    const kernels::Histories& at = call.shape.at;
    for_rows(at, [&](int64_t row, int64_t position, int64_t s) {
      Row::Gradients own = g;
      own.k = gradient_at(g.k, at, s, call.k.cols());
      own.v = gradient_at(g.v, at, s, call.v.cols());
      Row(call, row, position, s).backward(dy.as<double>(), own);
    });
    return;
  }
  const kernels::AttentionGradients g{
      dq.as<float>(),
      dk.as<float>(),
      dv.as<float>(),
      {gradient_of<float>(w), gradient_of<float>(alpha), gradient_of<float>(beta)},
      gradient_of<float>(call.options.mix)};
  const Tensor scratch = tape.scratch({kernels::attention_scratch(call.shape)}, Dtype::f32);
  kernels::attention_backward(call.shape, call.q.value.as<float>(), call.keys.as<float>(),
                              call.values.as<float>(), dy.as<float>(), g, scratch.as<float>());
  tape.release(scratch);
}

// Checks all arguments and returns the sizes that the kernels need.
kernels::Attention shape_of(Context& c, const Var& q, const Var& k, const Var& v, const Attention& options) {
  const int64_t H = options.heads, rows = c.sequences.rows();
  const auto& [w, alpha, beta] = options.time;
  const int64_t L = w ? w->value().cols() : 0;
  require(H > 0 && q.cols() % H == 0 && v.cols() % H == 0,
          "attention: {} columns of q and {} of v cannot be divided into {} heads", q.cols(), v.cols(), H);
  const kernels::Histories at = histories_of(c, "attention", k, L);
  require_shape("attention", "q", q.shape(), {rows, q.cols()});
  require_shape("attention", "k", k.shape(), {at.sequences, at.capacity, q.cols()});
  require_shape("attention", "v", v.shape(), {at.sequences, at.capacity, v.cols()});
  for (const Weight* weight : {w, alpha, beta})
    if (w)
      require_count("attention",
                    weight == w       ? "w"
                    : weight == alpha ? "alpha"
                                      : "beta",
                    weight->value(), H * L);
  if (options.mix) require_count("attention", "mix", options.mix->value(), H * H);
  kernels::Attention shape{.at = at,
                           .heads = H,
                           .key_size = q.cols() / H,
                           .value_size = v.cols() / H,
                           .scale = static_cast<float>(options.scale),
                           .cap = static_cast<float>(options.cap),
                           .softmax = options.softmax,
                           .time = {},
                           .mix = nullptr};
  if (q.dtype() == Dtype::f64) {
    shape.time.length = L;
    return shape;
  }
  if (w) shape.time = {w->value().as<float>(), alpha->value().as<float>(), beta->value().as<float>(), L};
  if (options.mix) shape.mix = options.mix->value().as<float>();
  return shape;
}

}  // namespace

Var attention(Context& c, const Var& q, const Var& k, const Var& v, const Attention& options) {
  const kernels::Attention shape = shape_of(c, q, k, v, options);
  const Call call{
      q, k, v, c.result({q.rows(), v.cols()}, q.dtype()), places_of(c, k), places_of(c, v), options, shape};
  if (q.dtype() == Dtype::f64)
    for_rows(shape.at,
             [&](int64_t row, int64_t position, int64_t s) { Row(call, row, position, s).forward(); });
  else
    kernels::attention(shape, q.value.as<float>(), call.keys.as<float>(), call.values.as<float>(),
                       call.y.value.as<float>());
  if (c.tape) c.tape->record({call.y}, [call](Tape& tape) { backward(tape, call); });
  return call.y;
}

}  // namespace aviary
