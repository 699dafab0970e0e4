// The recurrence of RWKV-7 (arXiv 2503.14456, section 4.1; the state is stored [key j, value i] like that of
// RWKV-5).
//   sa_i = sum_j S_ji a_j;  S'_ji = S_ji d_j + sa_i b_j + v_i k_j;  y_i = sum_j S'_ji r_j;
//   d = exp(-e^-1/2 sigmoid(w))
// Backward, with G the gradient of S' (from y and from the next row) and H_i = sum_j G_ji b_j that of sa:
//   dr_j = sum_i S'_ji dy_i,  dv_i = sum_j G_ji k_j,  dk_j = sum_i G_ji v_i,  db_j = sum_i G_ji sa_i,
//   dd_j = sum_i G_ji S_ji,  da_j = sum_i H_i S_ji,  dS_ji = G_ji d_j + H_i a_j
#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/ops.h"

namespace aviary {
namespace {

const double decay_scale = -std::exp(-0.5);

struct Call {
  Wkv7Arguments in;
  Var state, y, next_state;
  Places before, after;  // addresses of the parts of the states
  Tensor checkpoints;
  kernels::Wkv7 shape;
};

double decay_of(double w) { return std::exp(decay_scale / (1 + std::exp(-w))); }

// One row of one head. S is [n, n]; sa [n] is working memory that the backward pass reads.
void reference_step(const Wkv7Arguments& in, int64_t at, int64_t n, double* S, double* sa, double* y) {
  const double *r = in.r.value.as<double>() + at, *w = in.w.value.as<double>() + at;
  const double *k = in.k.value.as<double>() + at, *v = in.v.value.as<double>() + at;
  const double *a = in.a.value.as<double>() + at, *b = in.b.value.as<double>() + at;
  for (int64_t i = 0; i < n; ++i) {
    sa[i] = 0;
    for (int64_t j = 0; j < n; ++j) sa[i] += S[j * n + i] * a[j];
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      S[j * n + i] = S[j * n + i] * decay_of(w[j]) + sa[i] * b[j] + v[i] * k[j];
      sum += S[j * n + i] * r[j];
    }
    if (y) y[i] = sum;
  }
}

// Calls body(sequence, head) for every pair.
template <typename Body>
void for_heads(const kernels::Wkv7& shape, Body body) {
  for (int64_t s = 0; s < shape.sequences; ++s)
    for (int64_t head = 0; head < shape.heads; ++head) body(s, head);
}

void reference(const Call& call) {
  const int64_t n = call.shape.head_size, cols = call.shape.heads * n;
  std::vector<double> sa(static_cast<size_t>(n));
  for_heads(call.shape, [&](int64_t s, int64_t head) {
    double* S = call.after.as<double>()[s] + head * n * n;
    const double* first = call.before.as<double>()[s] + head * n * n;
    if (first != S) std::copy_n(first, n * n, S);
    for (int64_t t = call.shape.begins[s]; t < call.shape.begins[s + 1]; ++t)
      reference_step(call.in, t * cols + head * n, n, S, sa.data(),
                     call.y.value.as<double>() + t * cols + head * n);
  });
}

struct Gradients {
  double *r, *w, *k, *v, *a, *b;
};

// G [n, n]: gradient of the state after the row on entry, before it on return.
void reference_step_backward(const Wkv7Arguments& in, int64_t at, int64_t n, const double* before,
                             const double* after, const double* sa, const double* dy, double* G,
                             const Gradients& g) {
  const double *r = in.r.value.as<double>() + at, *w = in.w.value.as<double>() + at;
  const double *k = in.k.value.as<double>() + at, *v = in.v.value.as<double>() + at;
  const double *a = in.a.value.as<double>() + at, *b = in.b.value.as<double>() + at;
  for (int64_t i = 0; i < n; ++i) {
    double H = 0;
    for (int64_t j = 0; j < n; ++j) {
      double& Gji = G[j * n + i];
      Gji += r[j] * dy[i];
      H += Gji * b[j];
      g.r[at + j] += after[j * n + i] * dy[i];
      g.v[at + i] += Gji * k[j];
      g.k[at + j] += Gji * v[i];
      g.b[at + j] += Gji * sa[i];
      const double gate = 1 / (1 + std::exp(-w[j]));
      g.w[at + j] += Gji * before[j * n + i] * decay_of(w[j]) * decay_scale * gate * (1 - gate);
    }
    for (int64_t j = 0; j < n; ++j) {
      g.a[at + j] += H * before[j * n + i];
      G[j * n + i] = G[j * n + i] * decay_of(w[j]) + H * a[j];
    }
  }
}

void reference_backward(const Call& call, const double* dy, const double* dnext, const Gradients& g,
                        double* dstate) {
  const int64_t n = call.shape.head_size, cols = call.shape.heads * n, square = n * n;
  for_heads(call.shape, [&](int64_t s, int64_t head) {
    const int64_t own = (s * call.shape.heads + head) * square;
    const int64_t begin = call.shape.begins[s], rows = call.shape.begins[s + 1] - begin;
    std::vector<double> states(static_cast<size_t>((rows + 1) * square)), sa(static_cast<size_t>(rows * n));
    std::copy_n(call.before.as<double>()[s] + head * square, square, states.begin());
    for (int64_t t = 0; t < rows; ++t) {
      double* next = states.data() + (t + 1) * square;
      std::copy_n(states.data() + t * square, square, next);
      reference_step(call.in, (begin + t) * cols + head * n, n, next, sa.data() + t * n, nullptr);
    }
    std::vector<double> G(static_cast<size_t>(square));
    if (dnext) std::copy_n(dnext + own, square, G.begin());
    for (int64_t t = rows - 1; t >= 0; --t) {
      const int64_t at = (begin + t) * cols + head * n;
      const double* before = states.data() + t * square;
      reference_step_backward(call.in, at, n, before, before + square, sa.data() + t * n, dy + at, G.data(),
                              g);
    }
    if (dstate)
      for (int64_t i = 0; i < square; ++i) dstate[own + i] += G[static_cast<size_t>(i)];
  });
}

void backward(Tape& tape, const Call& call) {
  const Wkv7Arguments& in = call.in;
  const Tensor dy = tape.gradient(call.y), dnext = call.next_state.gradient->tensor,
               dstate = tape.gradient(call.state);
  const Tensor dr = tape.gradient(in.r), dw = tape.gradient(in.w), dk = tape.gradient(in.k),
               dv = tape.gradient(in.v);
  const Tensor da = tape.gradient(in.a), db = tape.gradient(in.b);
  if (dy.dtype() == Dtype::f64) {
    const Gradients g{dr.as<double>(), dw.as<double>(), dk.as<double>(),
                      dv.as<double>(), da.as<double>(), db.as<double>()};
    reference_backward(call, dy.as<double>(), dnext.as<double>(), g, dstate.as<double>());
    return;
  }
  const kernels::Wkv7Gradients g{dr.as<float>(), dw.as<float>(), dk.as<float>(),
                                 dv.as<float>(), da.as<float>(), db.as<float>()};
  const kernels::Wkv7Inputs inputs{in.r.value.as<float>(), in.w.value.as<float>(), in.k.value.as<float>(),
                                   in.v.value.as<float>(), in.a.value.as<float>(), in.b.value.as<float>()};
  kernels::wkv7_backward(call.shape, inputs, call.checkpoints.as<float>(), dy.as<float>(), dnext.as<float>(),
                         g, dstate.as<float>());
}

}  // namespace

Var wkv7(Context& c, int64_t heads, const Wkv7Arguments& in, Var& state) {
  const int64_t rows = c.sequences.rows(), cols = in.r.cols(), sequences = c.sequences.count();
  require(heads > 0 && cols % heads == 0, "wkv7: {} columns cannot be divided into {} heads", cols, heads);
  const int64_t n = cols / heads;
  require(n % 8 == 0 && n <= kernels::wkv_max_head_size,
          "wkv7: head size {}, expected a multiple of 8 up to {}", n, kernels::wkv_max_head_size);
  const std::pair<const char*, const Var*> arguments[] = {{"r", &in.r}, {"w", &in.w}, {"k", &in.k},
                                                          {"v", &in.v}, {"a", &in.a}, {"b", &in.b}};
  for (const auto& [name, argument] : arguments) require_shape("wkv7", name, argument->shape(), {rows, cols});
  require_shape("wkv7", "state", state.shape(), {sequences, heads, n, n});

  const Var next = c.next_state(state);
  Call call{in,
            state,
            c.result_like(in.r),
            next,
            places_of(c, state),
            places_of(c, next),
            {},
            {c.sequences.begins(), sequences, heads, n}};
  if (in.r.dtype() == Dtype::f64) {
    reference(call);
  } else {
    if (c.tape) {
      const int64_t kept = kernels::wkv_checkpoints(call.shape.begins, sequences);
      call.checkpoints = c.arena.tensor({kept, heads, n, n}, Dtype::f32);
    }
    const kernels::Wkv7Inputs inputs{in.r.value.as<float>(), in.w.value.as<float>(), in.k.value.as<float>(),
                                     in.v.value.as<float>(), in.a.value.as<float>(), in.b.value.as<float>()};
    kernels::wkv7(call.shape, inputs, call.before.as<float>(), call.y.value.as<float>(),
                  call.after.as<float>(), call.checkpoints.as<float>());
  }
  if (c.tape) c.tape->record({call.y, call.next_state}, [call](Tape& tape) { backward(tape, call); });
  state = call.next_state;
  return call.y;
}

}  // namespace aviary
