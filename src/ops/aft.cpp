// The attention free transformer, AFT-full, causal (Zhai et al. 2021, arXiv 2105.14103, equation 2, without
// its gate). Per channel:
//   y_t = sum_{u <= t} p(t, u) v_u,  p(t, u) = e^{k_u + w[t, u]} / sum_{u <= t} e^{k_u + w[t, u]}
//   dv_u = sum_t p dy_t,  dk_u = sum_t p (v_u - y_t) dy_t,
//   dw[t, u] = sum over channels of p (v_u - y_t) dy_t
#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/histories.h"
#include "ops/ops.h"

namespace aviary {
namespace {

struct Call {
  Var k, v, y;
  Places keys, values;  // addresses of the histories
  Weight* w;
  Tensor divisor;  // kept by the float32 kernel
  kernels::Aft shape;
};

// body(element of y, of w, sequence, element of its k and v, p) for every channel of every row and all u <=
// t.
template <typename Body>
void for_terms(const Call& call, Body body) {
  const int64_t cols = call.shape.cols;
  const double* w = call.w->value().as<double>();
  for_rows(call.shape.at, [&](int64_t row, int64_t t, int64_t s) {
    const double* k = call.keys.as<double>()[s];
    std::vector<double> p(static_cast<size_t>(t + 1));
    for (int64_t i = 0; i < cols; ++i) {
      double sum = 0;
      for (int64_t u = 0; u <= t; ++u)
        p[static_cast<size_t>(u)] = k[u * cols + i] + w[t * call.shape.length + u];
      const double top = *std::max_element(p.begin(), p.end());
      for (double& x : p) sum += x = std::exp(x - top);
      for (int64_t u = 0; u <= t; ++u)
        body(row * cols + i, t * call.shape.length + u, s, u * cols + i, p[static_cast<size_t>(u)] / sum);
    }
  });
}

void reference(const Call& call) {
  double* y = call.y.value.as<double>();
  set_zero(call.y.value);
  for_terms(call, [&](int64_t here, int64_t, int64_t s, int64_t there, double p) {
    y[here] += p * call.values.as<double>()[s][there];
  });
}

void backward(Tape& tape, const Call& call) {
  const Tensor dy = tape.gradient(call.y), dk = tape.gradient(call.k), dv = tape.gradient(call.v),
               dw = call.w->gradient();
  if (dy.dtype() == Dtype::f64) {
    const kernels::Histories& at = call.shape.at;
    for_terms(call, [&](int64_t here, int64_t pair, int64_t s, int64_t there, double p) {
      const double g = p * dy.as<double>()[here];
      const double dx = g * (call.values.as<double>()[s][there] - call.y.value.as<double>()[here]);
      if (!dv.empty()) gradient_at(dv.as<double>(), at, s, call.shape.cols)[there] += g;
      if (!dk.empty()) gradient_at(dk.as<double>(), at, s, call.shape.cols)[there] += dx;
      if (!dw.empty()) dw.as<double>()[pair] += dx;
    });
    return;
  }
  const Tensor scratch = tape.scratch({kernels::aft_scratch(call.shape)}, Dtype::f32);
  kernels::aft_backward(call.shape, call.w->value().as<float>(), call.keys.as<float>(),
                        call.values.as<float>(), call.y.value.as<float>(), call.divisor.as<float>(),
                        dy.as<float>(), dw.as<float>(), dk.as<float>(), dv.as<float>(), scratch.as<float>());
  tape.release(scratch);
}

}  // namespace

Var aft_full(Context& c, Weight& w, const Var& k, const Var& v) {
  const int64_t L = w.value().cols(), cols = k.cols(), rows = c.sequences.rows();
  require_shape("aft_full", "w", w.shape(), {L, L});
  const kernels::Histories at = histories_of(c, "aft_full", k, L);
  require_shape("aft_full", "v", v.shape(), k.shape());
  Call call{k, v, c.result({rows, cols}, k.dtype()), places_of(c, k), places_of(c, v), &w, {}, {at, cols, L}};
  if (k.dtype() == Dtype::f64) {
    reference(call);
  } else {
    call.divisor = c.arena.tensor({rows, cols}, Dtype::f32);
    const Tensor scratch = c.arena.reserve({kernels::aft_scratch(call.shape)}, Dtype::f32);
    kernels::aft(call.shape, w.value().as<float>(), call.keys.as<float>(), call.values.as<float>(),
                 call.y.value.as<float>(), call.divisor.as<float>(), scratch.as<float>());
    c.arena.release(scratch);
  }
  if (c.tape) c.tape->record({call.y}, [call](Tape& tape) { backward(tape, call); });
  return call.y;
}

}  // namespace aviary
