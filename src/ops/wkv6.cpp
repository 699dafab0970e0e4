// The recurrence of RWKV-5 and 6 (Eagle and Finch, arXiv 2404.05892, equations 6 and 19): the state S [key j,
// value i] of a head decays at a separate rate for each key, and u is the weight of the current token.
//   y_i = sum_j r_j (S_ji + u_j k_j v_i);  S'_ji = d_j S_ji + k_j v_i;  d = exp(-exp(w))
// Backward, with G the gradient of S' and a = v . dy:
//   dr_j = sum_i S_ji dy_i + u_j k_j a,  dk_j = sum_i G_ji v_i + r_j u_j a,  du_j = r_j k_j a,
//   dv_i = sum_j (G_ji k_j + r_j u_j k_j dy_i),  dd_j = sum_i G_ji S_ji,  dw = -e^w d dd,
//   dS_ji = d_j G_ji + r_j dy_i
#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/ops.h"

namespace aviary {
namespace {

struct Call {
  Wkv6Arguments in;
  Var state, y, next_state;
  Places before, after;  // addresses of the parts of the states
  Tensor checkpoints;
  kernels::Wkv6 shape;
};

// One head of one row, as pointers to its first elements.
struct Row {
  const double *r, *k, *v, *w, *u;
};

Row row_of(const Call& call, int64_t t, int64_t head) {
  const int64_t n = call.shape.head_size, at = (t * call.shape.heads + head) * n;
  const Wkv6Arguments& in = call.in;
  return {in.r.value.as<double>() + at, in.k.value.as<double>() + at, in.v.value.as<double>() + at,
          in.w.value.as<double>() + (call.shape.shared_decay ? head * n : at),
          in.u.value.as<double>() + head * n};
}

double decay_of(double w) { return std::exp(-std::exp(w)); }

// S [n, n] becomes the state after the row.
void reference_step(const Row& row, int64_t n, double* S, double* y) {
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      const double kv = row.k[j] * row.v[i];
      sum += row.r[j] * (S[j * n + i] + row.u[j] * kv);
      S[j * n + i] = decay_of(row.w[j]) * S[j * n + i] + kv;
    }
    if (y) y[i] = sum;
  }
}

// Calls body(sequence, head) for every pair.
template <typename Body>
void for_heads(const kernels::Wkv6& shape, Body body) {
  for (int64_t s = 0; s < shape.sequences; ++s)
    for (int64_t head = 0; head < shape.heads; ++head) body(s, head);
}

void reference(const Call& call) {
  const int64_t n = call.shape.head_size, heads = call.shape.heads;
  for_heads(call.shape, [&](int64_t s, int64_t head) {
    double* S = call.after.as<double>()[s] + head * n * n;
    const double* first = call.before.as<double>()[s] + head * n * n;
    if (first != S) std::copy_n(first, n * n, S);
    for (int64_t t = call.shape.begins[s]; t < call.shape.begins[s + 1]; ++t)
      reference_step(row_of(call, t, head), n, S, call.y.value.as<double>() + (t * heads + head) * n);
  });
}

// The same head and row of every gradient.
struct RowGradients {
  double *r, *k, *v, *w, *u;  // w and u may be null
};

// G [n, n]: gradient of the state after the row on entry, before it on return.
void reference_step_backward(const Row& row, int64_t n, const double* before, const double* dy, double* G,
                             const RowGradients& to) {
  double along = 0;
  for (int64_t i = 0; i < n; ++i) along += row.v[i] * dy[i];
  for (int64_t j = 0; j < n; ++j) {
    const double decay = decay_of(row.w[j]);
    double ddecay = 0;
    for (int64_t i = 0; i < n; ++i) {
      double& Gji = G[j * n + i];
      to.r[j] += before[j * n + i] * dy[i];
      to.k[j] += Gji * row.v[i];
      to.v[i] += Gji * row.k[j] + row.r[j] * row.u[j] * row.k[j] * dy[i];
      ddecay += Gji * before[j * n + i];
      Gji = decay * Gji + row.r[j] * dy[i];
    }
    to.r[j] += row.u[j] * row.k[j] * along;
    to.k[j] += row.r[j] * row.u[j] * along;
    if (to.u) to.u[j] += row.r[j] * row.k[j] * along;
    if (to.w) to.w[j] -= std::exp(row.w[j]) * decay * ddecay;
  }
}

void reference_backward(Tape& tape, const Call& call) {
  const int64_t n = call.shape.head_size, heads = call.shape.heads, square = n * n;
  auto gradient = [&](const Var& x) { return tape.gradient(x).as<double>(); };
  double *dr = gradient(call.in.r), *dk = gradient(call.in.k), *dv = gradient(call.in.v);
  double *dw = gradient(call.in.w), *du = gradient(call.in.u), *dstate = gradient(call.state);
  const double *dy = gradient(call.y), *dnext = call.next_state.gradient->tensor.as<double>();
  for_heads(call.shape, [&](int64_t s, int64_t head) {
    const int64_t own = (s * heads + head) * square;
    const int64_t begin = call.shape.begins[s], rows = call.shape.begins[s + 1] - begin;
    std::vector<double> states(static_cast<size_t>((rows + 1) * square)), G(static_cast<size_t>(square));
    std::copy_n(call.before.as<double>()[s] + head * square, square, states.begin());
    for (int64_t t = 0; t < rows; ++t) {
      double* next = states.data() + (t + 1) * square;
      std::copy_n(states.data() + t * square, square, next);
      reference_step(row_of(call, begin + t, head), n, next, nullptr);
    }
    if (dnext) std::copy_n(dnext + own, square, G.begin());
    for (int64_t t = rows - 1; t >= 0; --t) {
      const int64_t at = ((begin + t) * heads + head) * n;
      const RowGradients to{dr + at, dk + at, dv + at,
                            dw ? dw + (call.shape.shared_decay ? head * n : at) : nullptr,
                            du ? du + head * n : nullptr};
      reference_step_backward(row_of(call, begin + t, head), n, states.data() + t * square, dy + at, G.data(),
                              to);
    }
    if (dstate)
      for (int64_t i = 0; i < square; ++i) dstate[own + i] += G[static_cast<size_t>(i)];
  });
}

kernels::Wkv6Inputs inputs(const Wkv6Arguments& in) {
  return {in.r.value.as<float>(), in.k.value.as<float>(), in.v.value.as<float>(), in.w.value.as<float>(),
          in.u.value.as<float>()};
}

void backward(Tape& tape, const Call& call) {
  if (call.y.dtype() == Dtype::f64) return reference_backward(tape, call);
  auto gradient = [&](const Var& x) { return tape.gradient(x).as<float>(); };
  const kernels::Wkv6Gradients to{gradient(call.in.r), gradient(call.in.k), gradient(call.in.v),
                                  gradient(call.in.w), gradient(call.in.u)};
  Tensor scratch = tape.scratch({call.shape.sequences, 2, call.y.cols()}, Dtype::f32);
  kernels::wkv6_backward(call.shape, inputs(call.in), call.checkpoints.as<float>(), gradient(call.y),
                         call.next_state.gradient->tensor.as<float>(), to, gradient(call.state),
                         scratch.as<float>());
  tape.release(scratch);
}

}  // namespace

Var wkv6(Context& c, int64_t heads, const Wkv6Arguments& in, Var& state) {
  const int64_t rows = c.sequences.rows(), cols = in.r.cols(), sequences = c.sequences.count();
  require(heads > 0 && cols % heads == 0, "wkv6: {} columns cannot be divided into {} heads", cols, heads);
  const int64_t n = cols / heads;
  require(n % 8 == 0 && n <= kernels::wkv_max_head_size,
          "wkv6: head size {}, expected a multiple of 8 up to {}", n, kernels::wkv_max_head_size);
  const bool shared = in.w.rows() == 1;
  require_shape("wkv6", "r", in.r.shape(), {rows, cols});
  require_shape("wkv6", "k", in.k.shape(), {rows, cols});
  require_shape("wkv6", "v", in.v.shape(), {rows, cols});
  require_shape("wkv6", "w", in.w.shape(), {shared ? 1 : rows, cols});
  require_shape("wkv6", "u", in.u.shape(), {1, cols});
  require_shape("wkv6", "state", state.shape(), {sequences, heads, n, n});

  const Var next = c.next_state(state);
  Call call{in,
            state,
            c.result_like(in.r),
            next,
            places_of(c, state),
            places_of(c, next),
            {},
            {c.sequences.begins(), sequences, heads, n, shared}};
  if (in.r.dtype() == Dtype::f64) {
    reference(call);
  } else {
    if (c.tape) {
      const int64_t kept = kernels::wkv_checkpoints(call.shape.begins, sequences);
      call.checkpoints = c.arena.tensor({kept, heads, n, n}, Dtype::f32);
    }
    kernels::wkv6(call.shape, inputs(in), call.before.as<float>(), call.y.value.as<float>(),
                  call.after.as<float>(), call.checkpoints.as<float>());
  }
  if (c.tape) c.tape->record({call.y, call.next_state}, [call](Tape& tape) { backward(tape, call); });
  state = call.next_state;
  return call.y;
}

}  // namespace aviary
