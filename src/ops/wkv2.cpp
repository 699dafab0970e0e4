// The recurrence of RWKV-2 and 3 (RWKV-LM, RWKV-v2-RNN and RWKV-v3, TimeX): the weighted average of RWKV-4,
// but without scaling against overflow. d = exp(-exp(time_decay)), f = exp(time_first), K = e^min(k, 60).
//   y = n / z,  n = A + f K v,  z = B + f K + epsilon,  A' = d A + K v,  B' = d B + K
// Backward: with dn = dy / z and dz = -dn y
//   dK = f (v dn + dz) + v gA' + gB',  dk = K dK where k <= 60,  dv = K (f dn + gA')
//   df = K (v dn + dz),  dd = A gA' + B gB',  gA = d gA' + dn,  gB = d gB' + dz
#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/mapped.h"
#include "ops/ops.h"

namespace aviary {
namespace {

struct Call {
  Var k, v, y;
  Var state[2], next_state[2];
  Places before[2], after[2];  // addresses of the parts of the states
  Weight* time_decay;
  Weight* time_first;
  Tensor decay, first;  // [C], d and f
  Tensor history;       // [N, 2, C], A and B before each row
  double epsilon;
  kernels::Wkv2 shape;
};

// Calls body(sequence, channel) for every pair.
template <typename Body>
void for_channels(const kernels::Wkv2& shape, Body body) {
  for (int64_t s = 0; s < shape.sequences; ++s)
    for (int64_t i = 0; i < shape.cols; ++i) body(s, i);
}

double weight_of(double k) { return std::exp(std::min<double>(k, kernels::wkv2_largest_key)); }

void reference(const Call& call) {
  const int64_t cols = call.shape.cols;
  const double *k = call.k.value.as<double>(), *v = call.v.value.as<double>();
  double *y = call.y.value.as<double>(), *history = call.history.as<double>();
  for_channels(call.shape, [&](int64_t s, int64_t i) {
    const double d = call.decay.as<double>()[i], f = call.first.as<double>()[i];
    double a = call.before[0].as<double>()[s][i], b = call.before[1].as<double>()[s][i];
    for (int64_t t = call.shape.begins[s]; t < call.shape.begins[s + 1]; ++t) {
      const double K = weight_of(k[t * cols + i]), Kv = K * v[t * cols + i];
      if (history) {
        history[t * 2 * cols + i] = a;
        history[(t * 2 + 1) * cols + i] = b;
      }
      y[t * cols + i] = (a + f * Kv) / (b + f * K + call.epsilon);
      a = d * a + Kv;
      b = d * b + K;
    }
    call.after[0].as<double>()[s][i] = a;
    call.after[1].as<double>()[s][i] = b;
  });
}

void reference_backward(const Call& call, const double* dy, const double* const dnext[2], double* ddecay,
                        double* dfirst, double* dk, double* dv, double* const dstate[2]) {
  const int64_t cols = call.shape.cols;
  const double *k = call.k.value.as<double>(), *v = call.v.value.as<double>();
  for_channels(call.shape, [&](int64_t s, int64_t i) {
    const double d = call.decay.as<double>()[i], f = call.first.as<double>()[i];
    double ga = dnext[0] ? dnext[0][s * cols + i] : 0, gb = dnext[1] ? dnext[1][s * cols + i] : 0;
    for (int64_t t = call.shape.begins[s + 1] - 1; t >= call.shape.begins[s]; --t) {
      const double* row = call.history.as<double>() + t * 2 * cols + i;
      const double a = row[0], b = row[cols], vt = v[t * cols + i], K = weight_of(k[t * cols + i]);
      const double z = b + f * K + call.epsilon;
      const double dn = dy[t * cols + i] / z, dz = -dn * (a + f * K * vt) / z;
      const double bonus = vt * dn + dz;
      if (dk && k[t * cols + i] <= kernels::wkv2_largest_key)
        dk[t * cols + i] += K * (f * bonus + vt * ga + gb);
      if (dv) dv[t * cols + i] += K * (f * dn + ga);
      if (dfirst) dfirst[i] += K * bonus;
      if (ddecay) ddecay[i] += a * ga + b * gb;
      ga = d * ga + dn;
      gb = d * gb + dz;
    }
    if (dstate[0]) dstate[0][s * cols + i] += ga;
    if (dstate[1]) dstate[1][s * cols + i] += gb;
  });
}

// Adds slope(weight) dvalue to the gradient of a vector that is used as value(weight).
template <typename Slope>
void add_through(const Tensor& dvalue, Weight& weight, Slope slope) {
  std::vector<double> total = to_host(weight.gradient()), w = to_host(weight.value());
  const std::vector<double> part = to_host(dvalue);
  for (size_t i = 0; i < total.size(); ++i) total[i] += slope(w[i]) * part[i];
  from_host(total, weight.gradient());
}

void backward(Tape& tape, const Call& call) {
  const int64_t cols = call.shape.cols;
  const Tensor dy = tape.gradient(call.y), dk = tape.gradient(call.k), dv = tape.gradient(call.v);
  const Tensor dnext[] = {call.next_state[0].gradient->tensor, call.next_state[1].gradient->tensor};
  const Tensor dstate[] = {tape.gradient(call.state[0]), tape.gradient(call.state[1])};
  Tensor dvectors = tape.scratch({2, cols}, dy.dtype());  // of decay and first
  set_zero(dvectors);
  if (dy.dtype() == Dtype::f64) {
    const double* const next[] = {dnext[0].as<double>(), dnext[1].as<double>()};
    double* const to[] = {dstate[0].as<double>(), dstate[1].as<double>()};
    reference_backward(call, dy.as<double>(), next, dvectors.as<double>(), dvectors.as<double>() + cols,
                       dk.as<double>(), dv.as<double>(), to);
  } else {
    const float* const next[] = {dnext[0].as<float>(), dnext[1].as<float>()};
    float* const to[] = {dstate[0].as<float>(), dstate[1].as<float>()};
    Tensor scratch = tape.scratch({call.shape.sequences, 2, cols}, Dtype::f32);
    kernels::wkv2_backward(call.shape, call.decay.as<float>(), call.first.as<float>(),
                           call.k.value.as<float>(), call.v.value.as<float>(), call.history.as<float>(),
                           dy.as<float>(), next, dvectors.as<float>(), dk.as<float>(), dv.as<float>(), to,
                           scratch.as<float>());
    tape.release(scratch);
  }
  const Tensor ddecay = part_of(dvectors, 0), dfirst = part_of(dvectors, 1);
  if (call.time_decay->trainable())
    add_through(ddecay, *call.time_decay, [](double w) { return -std::exp(w - std::exp(w)); });
  if (call.time_first->trainable())
    add_through(dfirst, *call.time_first, [](double u) { return std::exp(u); });
  tape.release(dvectors);
}

}  // namespace

Var wkv2(Context& c, Weight& time_decay, Weight& time_first, const Var& k, const Var& v, Wkv2State state,
         double epsilon) {
  const int64_t rows = c.sequences.rows(), cols = k.cols(), sequences = c.sequences.count();
  require_shape("wkv2", "k", k.shape(), {rows, cols});
  require_shape("wkv2", "v", v.shape(), {rows, cols});
  require_count("wkv2", "time_decay", time_decay.value(), cols);
  require_count("wkv2", "time_first", time_first.value(), cols);
  require_shape("wkv2", "aa", state.aa.shape(), {sequences, cols});
  require_shape("wkv2", "bb", state.bb.shape(), {sequences, cols});

  Call call{.k = k,
            .v = v,
            .y = c.result_like(k),
            .state = {state.aa, state.bb},
            .next_state = {c.next_state(state.aa), c.next_state(state.bb)},
            .before = {places_of(c, state.aa), places_of(c, state.bb)},
            .after = {},
            .time_decay = &time_decay,
            .time_first = &time_first,
            .decay = mapped(c, time_decay.value(), [](double w) { return std::exp(-std::exp(w)); }),
            .first = mapped(c, time_first.value(), [](double u) { return std::exp(u); }),
            .history = c.tape ? c.arena.tensor({rows, 2, cols}, k.dtype()) : Tensor(),
            .epsilon = epsilon,
            .shape = {c.sequences.begins(), sequences, cols, static_cast<float>(epsilon)}};
  for (int n = 0; n < 2; ++n) call.after[n] = places_of(c, call.next_state[n]);
  if (k.dtype() == Dtype::f64) {
    reference(call);
  } else {
    const kernels::ConstPlaces from[] = {call.before[0].as<float>(), call.before[1].as<float>()};
    const kernels::Places to[] = {call.after[0].as<float>(), call.after[1].as<float>()};
    kernels::wkv2(call.shape, call.decay.as<float>(), call.first.as<float>(), k.value.as<float>(),
                  v.value.as<float>(), from, call.y.value.as<float>(), to, call.history.as<float>());
  }
  if (c.tape)
    c.tape->record({call.y, call.next_state[0], call.next_state[1]},
                   [call](Tape& tape) { backward(tape, call); });
  state.aa = call.next_state[0];
  state.bb = call.next_state[1];
  return call.y;
}

}  // namespace aviary
