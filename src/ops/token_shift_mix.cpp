// Token shift: every row is mixed with the previous row of its sequence; all mixtures of a layer at once.
//   out_o[t] = x[t] + (x[t-1] - x[t]) m_o[t]
//   m_o[t] = mix_o + more_o[t] for `previous`, 1 - that for `current`;
//   more, if given, makes the mixture depend on the token (RWKV-6)
//   dx[t] = sum_o dout_o[t] (1 - m_o[t]) + dout_o[t+1] m_o[t+1],  dm_o[t] = dout_o[t] (x[t-1] - x[t])
#include <algorithm>
#include <numeric>

#include "ops/ops.h"

namespace aviary {
namespace {

using kernels::max_shift_outputs;

// Shared by the forward and the backward pass; trivially destructible, so that the tape can keep it.
struct Shift {
  Var x, state, next_state;
  Places before, after;  // addresses of the parts of the states; after: none if the next state is not needed
  Var out[max_shift_outputs], more[max_shift_outputs];
  Weight* mix[max_shift_outputs];
  kernels::TokenShift shape;
};

Tensor gradient_of(const Var& x) { return x.gradient ? x.gradient->tensor : Tensor(); }

// m_o of element i of row t.
double share(const Shift& s, int o, int64_t t, int64_t i) {
  double m = s.mix[o]->value().as<double>()[i];
  if (!s.more[o].empty()) m += s.more[o].value.as<double>()[t * s.shape.cols + i];
  return s.shape.of_current ? 1 - m : m;
}

void reference(const Shift& s) {
  const int64_t cols = s.shape.cols;
  const double* x = s.x.value.as<double>();
  for (int64_t seq = 0; seq < s.shape.sequences; ++seq) {
    const double* above = s.before.as<double>()[seq];
    for (int64_t t = s.shape.begins[seq]; t < s.shape.begins[seq + 1]; above = x + t * cols, ++t)
      for (int o = 0; o < s.shape.outputs; ++o)
        for (int64_t i = 0; i < cols; ++i)
          s.out[o].value.as<double>()[t * cols + i] =
              x[t * cols + i] + (above[i] - x[t * cols + i]) * share(s, o, t, i);
    if (s.after.table) std::copy_n(above, cols, s.after.as<double>()[seq]);
  }
}

void reference_backward(Tape& tape, const Shift& s) {
  const int64_t cols = s.shape.cols;
  const double sign = s.shape.of_current ? -1 : 1;
  const double* x = s.x.value.as<double>();
  double* dx = tape.gradient(s.x).as<double>();
  double* dstate = tape.gradient(s.state).as<double>();
  const Tensor dnext = gradient_of(s.next_state);
  for (int64_t seq = 0; seq < s.shape.sequences; ++seq) {
    const int64_t begin = s.shape.begins[seq], end = s.shape.begins[seq + 1];
    for (int64_t i = 0; i < cols; ++i)
      if (dx && !dnext.empty()) dx[(end - 1) * cols + i] += dnext.as<double>()[seq * cols + i];
    for (int o = 0; o < s.shape.outputs; ++o) {
      const Tensor dout = s.out[o].gradient->tensor;
      if (dout.empty()) continue;
      double* dmix = s.mix[o]->gradient().as<double>();
      double* dmore = tape.gradient(s.more[o]).as<double>();
      for (int64_t t = begin; t < end; ++t)
        for (int64_t i = 0; i < cols; ++i) {
          const double g = dout.as<double>()[t * cols + i], m = share(s, o, t, i);
          const double above = t > begin ? x[(t - 1) * cols + i] : s.before.as<double>()[seq][i];
          if (dx) dx[t * cols + i] += g * (1 - m);
          if (dx && t > begin) dx[(t - 1) * cols + i] += g * m;
          if (dstate && t == begin) dstate[seq * cols + i] += g * m;
          if (dmix) dmix[i] += sign * g * (above - x[t * cols + i]);
          if (dmore) dmore[t * cols + i] += sign * g * (above - x[t * cols + i]);
        }
    }
  }
}

kernels::TokenShiftInputs inputs(const Shift& s) {
  kernels::TokenShiftInputs in{s.x.value.as<float>(), s.before.as<float>(), {}, {}};
  for (int o = 0; o < s.shape.outputs; ++o) {
    in.mix[o] = s.mix[o]->value().as<float>();
    in.more[o] = s.more[o].value.as<float>();
  }
  return in;
}

void run(const Shift& s) {
  if (s.x.dtype() == Dtype::f64) return reference(s);
  float* out[max_shift_outputs];
  for (int o = 0; o < s.shape.outputs; ++o) out[o] = s.out[o].value.as<float>();
  kernels::token_shift_mix(s.shape, inputs(s), out, s.after.as<float>());
}

void run_backward(Tape& tape, const Shift& s) {
  if (s.x.dtype() == Dtype::f64) return reference_backward(tape, s);
  const float* dout[max_shift_outputs];
  kernels::TokenShiftGradients to{tape.gradient(s.x).as<float>(), tape.gradient(s.state).as<float>(), {}, {}};
  for (int o = 0; o < s.shape.outputs; ++o) {
    dout[o] = s.out[o].gradient->tensor.as<float>();
    to.mix[o] = s.mix[o]->gradient().as<float>();
    to.more[o] = tape.gradient(s.more[o]).as<float>();
  }
  Tensor scratch = tape.scratch({kernels::row_blocks, s.shape.outputs + 1, s.shape.cols}, Dtype::f32);
  kernels::token_shift_mix_backward(s.shape, inputs(s), dout, gradient_of(s.next_state).as<float>(), to,
                                    scratch.as<float>());
  tape.release(scratch);
}

// 0, 1, ... N
const int64_t* row_begins(Context& c) {
  const int64_t rows = c.sequences.rows();
  auto* begins = static_cast<int64_t*>(c.arena.allocate((rows + 1) * static_cast<int64_t>(sizeof(int64_t))));
  std::iota(begins, begins + rows + 1, int64_t{0});
  return begins;
}

}  // namespace

void token_shift_mix(Context& c, const Var& x, Var& state, TokenShift shift, std::span<Weight* const> mix,
                     std::span<Var> out, std::span<const Var> more) {
  const int64_t rows = c.sequences.rows(), cols = x.cols();
  require(mix.size() <= max_shift_outputs, "token_shift_mix: {} outputs, at most {} are possible", mix.size(),
          max_shift_outputs);
  require_shape("token_shift_mix", "x", x.shape(), {rows, cols});
  // With a delay, every row is treated as a separate sequence, whose state is the delayed row.
  const bool delayed = !shift.distances.empty();
  const Var above = delayed ? token_delay(c, x, state, shift.distances) : state;
  const int64_t sequences = delayed ? rows : c.sequences.count();
  require_shape("token_shift_mix", "state", above.shape(), {sequences, cols});
  const Var next = delayed ? Var() : c.next_state(state);
  Shift s{.x = x,
          .state = above,
          .next_state = next,
          .before = places_of(c, above),
          .after = delayed ? Places() : places_of(c, next),
          .out = {},
          .more = {},
          .mix = {},
          .shape = {delayed ? row_begins(c) : c.sequences.begins(), sequences, cols,
                    static_cast<int>(mix.size()), shift.of == MixOf::current}};
  for (size_t o = 0; o < mix.size(); ++o) {
    require_count("token_shift_mix", "mix", mix[o]->value(), cols);
    s.mix[o] = mix[o];
    if (!more.empty()) {
      require_shape("token_shift_mix", "more", more[o].shape(), x.shape());
      s.more[o] = more[o];
    }
    s.out[o] = out[o] = c.result_like(x);
  }
  run(s);
  if (c.tape) {
    std::array<Var, max_shift_outputs + 1> outputs{};
    std::copy(s.out, s.out + s.shape.outputs, outputs.begin());
    outputs[max_shift_outputs] = s.next_state;
    c.tape->record(outputs, [s](Tape& tape) { run_backward(tape, s); });
  }
  if (!delayed) state = s.next_state;
}

}  // namespace aviary
