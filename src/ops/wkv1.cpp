// The weighted average of RWKV-1 (RWKV-LM, RWKV-v1/src/model.py): time weights multiply only the numerator.
//   y_t = sum_{u <= t} W(t, u) e_u v_u / D_t,  D_t = sum_{u <= t} e_u,  e = exp(clamp(k, -60, 30)),
//   W(t, u) = w[L - 1 - (t - u)] alpha_u beta_t
//   dv_u = sum_t W e_u dy_t / D_t,  dk_u = sum_t e_u (W v_u - y_t) dy_t / D_t where k is not clamped,
//   dW(t, u) = e_u v_u dy_t / D_t, summed over the channels of the head
#include <algorithm>
#include <cmath>

#include "ops/histories.h"
#include "ops/ops.h"

namespace aviary {
namespace {

constexpr double lowest = -60, highest = 30;

struct Call {
  Var k, v, y;
  Places keys, values;  // addresses of the histories
  TimeWeights time;
  kernels::Wkv1 shape;
};

double exponential(double k) { return std::exp(std::clamp(k, lowest, highest)); }

// Offsets in w, alpha and beta, for head h and positions t and u.
struct TimeAt {
  int64_t w, alpha, beta;
  TimeAt(int64_t L, int64_t h, int64_t t, int64_t u)
      : w(h * L + L - 1 - (t - u)), alpha(h * L + u), beta(h * L + t) {}
};

void reference(const Call& call) {
  const int64_t cols = call.shape.cols, n = cols / call.shape.heads, L = call.shape.time.length;
  const double *w = call.time.w->value().as<double>(), *alpha = call.time.alpha->value().as<double>(),
               *beta = call.time.beta->value().as<double>();
  for_rows(call.shape.at, [&](int64_t row, int64_t t, int64_t s) {
    const double *k = call.keys.as<double>()[s], *v = call.values.as<double>()[s];
    for (int64_t i = 0; i < cols; ++i) {
      double numerator = 0, divisor = 0;
      for (int64_t u = 0; u <= t; ++u) {
        const TimeAt at(L, i / n, t, u);
        const double e = exponential(k[u * cols + i]);
        divisor += e;
        numerator += w[at.w] * alpha[at.alpha] * beta[at.beta] * e * v[u * cols + i];
      }
      call.y.value.as<double>()[row * cols + i] = numerator / divisor;
    }
  });
}

void reference_backward(const Call& call, const double* dy, double* all_dk, double* all_dv) {
  const int64_t cols = call.shape.cols, n = cols / call.shape.heads, L = call.shape.time.length;
  const double* y = call.y.value.as<double>();
  const double *w = call.time.w->value().as<double>(), *alpha = call.time.alpha->value().as<double>(),
               *beta = call.time.beta->value().as<double>();
  double *dw = call.time.w->gradient().as<double>(), *dalpha = call.time.alpha->gradient().as<double>(),
         *dbeta = call.time.beta->gradient().as<double>();
  for_rows(call.shape.at, [&](int64_t row, int64_t t, int64_t s) {
    const double *k = call.keys.as<double>()[s], *v = call.values.as<double>()[s];
    double* dk = gradient_at(all_dk, call.shape.at, s, cols);
    double* dv = gradient_at(all_dv, call.shape.at, s, cols);
    for (int64_t i = 0; i < cols; ++i) {
      double divisor = 0;
      for (int64_t u = 0; u <= t; ++u) divisor += exponential(k[u * cols + i]);
      const double g = dy[row * cols + i] / divisor;
      for (int64_t u = 0; u <= t; ++u) {
        const TimeAt at(L, i / n, t, u);
        const int64_t there = u * cols + i;
        const double e = exponential(k[there]), W = w[at.w] * alpha[at.alpha] * beta[at.beta];
        if (dv) dv[there] += W * e * g;
        if (dk && k[there] >= lowest && k[there] <= highest)
          dk[there] += e * (W * v[there] - y[row * cols + i]) * g;
        if (dw) dw[at.w] += e * v[there] * g * alpha[at.alpha] * beta[at.beta];
        if (dalpha) dalpha[at.alpha] += e * v[there] * g * w[at.w] * beta[at.beta];
        if (dbeta) dbeta[at.beta] += e * v[there] * g * w[at.w] * alpha[at.alpha];
      }
    }
  });
}

void backward(Tape& tape, const Call& call) {
  const Tensor dy = tape.gradient(call.y), dk = tape.gradient(call.k), dv = tape.gradient(call.v);
  if (dy.dtype() == Dtype::f64) {
    reference_backward(call, dy.as<double>(), dk.as<double>(), dv.as<double>());
    return;
  }
  const kernels::TimeWeightGradients time{call.time.w->gradient().as<float>(),
                                          call.time.alpha->gradient().as<float>(),
                                          call.time.beta->gradient().as<float>()};
  const Tensor scratch = tape.scratch({kernels::wkv1_scratch(call.shape)}, Dtype::f32);
  kernels::wkv1_backward(call.shape, call.keys.as<float>(), call.values.as<float>(), dy.as<float>(),
                         {dk.as<float>(), dv.as<float>(), time}, scratch.as<float>());
  tape.release(scratch);
}

}  // namespace

Var wkv1(Context& c, const TimeWeights& time, const Var& k, const Var& v) {
  const int64_t L = time.w->value().cols(), H = time.w->value().rows(), cols = k.cols();
  const kernels::Histories at = histories_of(c, "wkv1", k, L);
  require(cols % H == 0, "wkv1: {} columns cannot be divided into {} heads", cols, H);
  require_shape("wkv1", "v", v.shape(), k.shape());
  require_count("wkv1", "alpha", time.alpha->value(), H * L);
  require_count("wkv1", "beta", time.beta->value(), H * L);
  Call call{k,
            v,
            c.result({c.sequences.rows(), cols}, k.dtype()),
            places_of(c, k),
            places_of(c, v),
            time,
            {at, H, cols, {}}};
  call.shape.time.length = L;
  if (k.dtype() == Dtype::f64) {
    reference(call);
  } else {
    call.shape.time = {time.w->value().as<float>(), time.alpha->value().as<float>(),
                       time.beta->value().as<float>(), L};
    kernels::wkv1(call.shape, call.keys.as<float>(), call.values.as<float>(), call.y.value.as<float>());
  }
  if (c.tape) c.tape->record({call.y}, [call](Tape& tape) { backward(tape, call); });
  return call.y;
}

}  // namespace aviary
