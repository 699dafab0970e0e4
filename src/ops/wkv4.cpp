// The recurrence of RWKV-4 (arXiv 2305.13048, equation 16 and appendix D),
// w = -exp(time_decay), u = time_first.
//   y = (e^{p-q} A + e^{u+k-q} v) / (e^{p-q} B + e^{u+k-q}),  q = max(p, u + k)
//   p' = max(p + w, k),  A' = e^{p+w-p'} A + e^{k-p'} v,  B' = e^{p+w-p'} B + e^{k-p'}
// Backward: gA, gB are the gradients of A, B at constant p; with dn = dy / den and dd = -dn y
//   dk = e^{u+k-q} (v dn + dd) + e^{k-p'} (v gA' + gB'),  dv = e^{u+k-q} dn + e^{k-p'} gA',
//   du = e^{u+k-q} (v dn + dd),  dw = e^{p+w-p'} (A gA' + B gB'),
//   gA = e^{p+w-p'} gA' + e^{p-q} dn,  gB = e^{p+w-p'} gB' + e^{p-q} dd
#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/mapped.h"
#include "ops/ops.h"

namespace aviary {
namespace {

struct Call {
  Var k, v, y;
  Var state[3], next_state[3];
  Places before[3], after[3];  // addresses of the parts of the states
  Weight* time_decay;
  Weight* time_first;
  Tensor decay, history;
  kernels::Wkv4 shape;
};

// Intermediate values of one row of one channel, for both directions.
struct Step {
  double e1, e2, f1, f2, numerator, denominator, next_p;
  Step(double w, double u, double k, double v, double a, double b, double p) {
    const double q = std::max(p, u + k);
    e1 = std::exp(p - q);
    e2 = std::exp(u + k - q);
    numerator = e1 * a + e2 * v;
    denominator = e1 * b + e2;
    next_p = std::max(p + w, k);
    f1 = std::exp(p + w - next_p);
    f2 = std::exp(k - next_p);
  }
};

// Calls body(sequence, channel) for every pair.
template <typename Body>
void for_channels(const kernels::Wkv4& shape, Body body) {
  for (int64_t s = 0; s < shape.sequences; ++s)
    for (int64_t i = 0; i < shape.cols; ++i) body(s, i);
}

void reference(const Call& call) {
  const int64_t cols = call.shape.cols;
  for_channels(call.shape, [&](int64_t s, int64_t i) {
    double part[3];
    for (int n = 0; n < 3; ++n) part[n] = call.before[n].as<double>()[s][i];
    for (int64_t t = call.shape.begins[s]; t < call.shape.begins[s + 1]; ++t) {
      const double v = call.v.value.as<double>()[t * cols + i];
      const Step step(call.decay.as<double>()[i], call.time_first->value().as<double>()[i],
                      call.k.value.as<double>()[t * cols + i], v, part[0], part[1], part[2]);
      if (!call.history.empty())
        for (int n = 0; n < 3; ++n) call.history.as<double>()[(t * 3 + n) * cols + i] = part[n];
      call.y.value.as<double>()[t * cols + i] = step.numerator / step.denominator;
      part[0] = step.f1 * part[0] + step.f2 * v;
      part[1] = step.f1 * part[1] + step.f2;
      part[2] = step.next_p;
    }
    for (int n = 0; n < 3; ++n) call.after[n].as<double>()[s][i] = part[n];
  });
}

void reference_backward(const Call& call, const double* dy, const double* const dnext[2], double* dw,
                        double* du, double* dk, double* dv, double* const dstate[3]) {
  const int64_t cols = call.shape.cols;
  for_channels(call.shape, [&](int64_t s, int64_t i) {
    double ga = dnext[0] ? dnext[0][s * cols + i] : 0, gb = dnext[1] ? dnext[1][s * cols + i] : 0;
    const int64_t begin = call.shape.begins[s];
    const double* history = call.history.as<double>();
    for (int64_t t = call.shape.begins[s + 1] - 1; t >= begin; --t) {
      const double* row = history + t * 3 * cols + i;
      const double a = row[0], b = row[cols], v = call.v.value.as<double>()[t * cols + i];
      const Step step(call.decay.as<double>()[i], call.time_first->value().as<double>()[i],
                      call.k.value.as<double>()[t * cols + i], v, a, b, row[2 * cols]);
      const double dn = dy[t * cols + i] / step.denominator, dd = -dn * step.numerator / step.denominator;
      const double bonus = step.e2 * (v * dn + dd);
      if (dk) dk[t * cols + i] += bonus + step.f2 * (v * ga + gb);
      if (dv) dv[t * cols + i] += step.e2 * dn + step.f2 * ga;
      if (du) du[i] += bonus;
      if (dw) dw[i] += step.f1 * (a * ga + b * gb);
      ga = step.f1 * ga + step.e1 * dn;
      gb = step.f1 * gb + step.e1 * dd;
    }
    if (dstate[0]) dstate[0][s * cols + i] += ga;
    if (dstate[1]) dstate[1][s * cols + i] += gb;
    if (dstate[2])
      dstate[2][s * cols + i] +=
          history[begin * 3 * cols + i] * ga + history[(begin * 3 + 1) * cols + i] * gb;
  });
}

void backward(Tape& tape, const Call& call) {
  const int64_t cols = call.shape.cols;
  const Tensor dy = tape.gradient(call.y), dk = tape.gradient(call.k), dv = tape.gradient(call.v);
  const Tensor du = call.time_first->gradient();
  Tensor dw, dnext[2], dstate[3];
  for (int n = 0; n < 2; ++n) dnext[n] = call.next_state[n].gradient->tensor;
  for (int n = 0; n < 3; ++n) dstate[n] = tape.gradient(call.state[n]);
  if (call.time_decay->trainable()) {
    dw = tape.scratch({cols}, dy.dtype());
    set_zero(dw);
  }
  if (dy.dtype() == Dtype::f64) {
    const double* const next[] = {dnext[0].as<double>(), dnext[1].as<double>()};
    double* const to[] = {dstate[0].as<double>(), dstate[1].as<double>(), dstate[2].as<double>()};
    reference_backward(call, dy.as<double>(), next, dw.as<double>(), du.as<double>(), dk.as<double>(),
                       dv.as<double>(), to);
  } else {
    const float* const next[] = {dnext[0].as<float>(), dnext[1].as<float>()};
    float* const to[] = {dstate[0].as<float>(), dstate[1].as<float>(), dstate[2].as<float>()};
    Tensor scratch = tape.scratch({call.shape.sequences, 2, cols}, Dtype::f32);
    kernels::wkv4_backward(call.shape, call.decay.as<float>(), call.time_first->value().as<float>(),
                           call.k.value.as<float>(), call.v.value.as<float>(), call.history.as<float>(),
                           dy.as<float>(), next, dw.as<float>(), du.as<float>(), dk.as<float>(),
                           dv.as<float>(), to, scratch.as<float>());
    tape.release(scratch);
  }
  if (dw.empty()) return;
  std::vector<double> total = to_host(call.time_decay->gradient()), part = to_host(dw),
                      w = to_host(call.decay);
  for (size_t i = 0; i < total.size(); ++i)
    total[i] += part[i] * w[i];  // w = -exp(time_decay) equals its own derivative
  from_host(total, call.time_decay->gradient());
  tape.release(dw);
}

}  // namespace

Var wkv4(Context& c, Weight& time_decay, Weight& time_first, const Var& k, const Var& v, Wkv4State state) {
  const int64_t rows = c.sequences.rows(), cols = k.cols(), sequences = c.sequences.count();
  require_shape("wkv4", "k", k.shape(), {rows, cols});
  require_shape("wkv4", "v", v.shape(), {rows, cols});
  require_count("wkv4", "time_decay", time_decay.value(), cols);
  require_count("wkv4", "time_first", time_first.value(), cols);
  Var* const parts[] = {&state.aa, &state.bb, &state.pp};
  for (Var* part : parts) require_shape("wkv4", "state", part->shape(), {sequences, cols});

  Call call{.k = k,
            .v = v,
            .y = c.result_like(k),
            .state = {state.aa, state.bb, state.pp},
            .next_state = {},
            .before = {},
            .after = {},
            .time_decay = &time_decay,
            .time_first = &time_first,
            .decay = mapped(c, time_decay.value(), [](double w) { return -std::exp(w); }),
            .history = c.tape ? c.arena.tensor({rows, 3, cols}, k.dtype()) : Tensor(),
            .shape = {c.sequences.begins(), sequences, cols}};
  for (int n = 0; n < 3; ++n) {
    call.next_state[n] = c.next_state(*parts[n]);
    call.before[n] = places_of(c, *parts[n]);
    call.after[n] = places_of(c, call.next_state[n]);
  }
  if (k.dtype() == Dtype::f64) {
    reference(call);
  } else {
    const kernels::ConstPlaces from[] = {call.before[0].as<float>(), call.before[1].as<float>(),
                                         call.before[2].as<float>()};
    const kernels::Places to[] = {call.after[0].as<float>(), call.after[1].as<float>(),
                                  call.after[2].as<float>()};
    kernels::wkv4(call.shape, call.decay.as<float>(), time_first.value().as<float>(), k.value.as<float>(),
                  v.value.as<float>(), from, call.y.value.as<float>(), to, call.history.as<float>());
  }
  if (c.tape)
    c.tape->record({call.y, call.next_state[0], call.next_state[1], call.next_state[2]},
                   [call](Tape& tape) { backward(tape, call); });
  for (int n = 0; n < 3; ++n) *parts[n] = call.next_state[n];
  return call.y;
}

}  // namespace aviary
