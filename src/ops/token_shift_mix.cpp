// Token shift: every row is mixed with the row above it in its sequence; all mixtures of a layer at once.
//   out_o[t] = x[t] + (x[t-1] - x[t]) m_o          (m_o = mix for `previous`, 1 - mix for `current`)
//   dx[t] = sum_o dout_o[t] (1 - m_o) + dout_o[t+1] m_o,  dm_o = sum_t dout_o[t] (x[t-1] - x[t])
#include <numeric>

#include "ops/ops.h"

namespace aviary {
namespace {

using kernels::max_shift_outputs;

// Everything the two passes share; trivially destructible, so that the tape can keep it.
struct Shift {
  Var x, state, next_state;
  Var out[max_shift_outputs];
  Weight* mix[max_shift_outputs];
  Tensor share[max_shift_outputs];  // m_o
  int outputs;
  MixOf of;
  kernels::TokenShift shape;
};

void reference(const Shift& s) {
  const int64_t cols = s.shape.cols;
  const double* x = s.x.value.as<double>();
  for (int64_t seq = 0; seq < s.shape.sequences; ++seq) {
    const double* above = s.state.value.as<double>() + seq * cols;
    for (int64_t t = s.shape.begins[seq]; t < s.shape.begins[seq + 1]; above = x + t * cols, ++t)
      for (int o = 0; o < s.outputs; ++o)
        for (int64_t i = 0; i < cols; ++i)
          s.out[o].value.as<double>()[t * cols + i] =
              x[t * cols + i] + (above[i] - x[t * cols + i]) * s.share[o].as<double>()[i];
    for (int64_t i = 0; i < cols; ++i) s.next_state.value.as<double>()[seq * cols + i] = above[i];
  }
}

void reference_backward(Tape& tape, const Shift& s, const Tensor* dshare) {
  const int64_t cols = s.shape.cols;
  const double* x = s.x.value.as<double>();
  double* dx = tape.gradient(s.x).as<double>();
  double* dstate = tape.gradient(s.state).as<double>();
  const Tensor dnext = s.next_state.gradient->tensor;
  for (int64_t seq = 0; seq < s.shape.sequences; ++seq) {
    const int64_t begin = s.shape.begins[seq], end = s.shape.begins[seq + 1];
    for (int64_t i = 0; i < cols; ++i) {
      if (dx && !dnext.empty()) dx[(end - 1) * cols + i] += dnext.as<double>()[seq * cols + i];
      for (int o = 0; o < s.outputs; ++o) {
        const Tensor dout = s.out[o].gradient->tensor;
        if (dout.empty()) continue;
        const double m = s.share[o].as<double>()[i];
        for (int64_t t = begin; t < end; ++t) {
          const double g = dout.as<double>()[t * cols + i];
          const double above = t > begin ? x[(t - 1) * cols + i] : s.state.value.as<double>()[seq * cols + i];
          if (dx) dx[t * cols + i] += g * (1 - m);
          if (dx && t > begin) dx[(t - 1) * cols + i] += g * m;
          if (dstate && t == begin) dstate[seq * cols + i] += g * m;
          if (!dshare[o].empty()) dshare[o].as<double>()[i] += g * (above - x[t * cols + i]);
        }
      }
    }
  }
}

void run(const Shift& s) {
  if (s.x.dtype() == Dtype::f64) return reference(s);
  const float* mix[max_shift_outputs];
  float* out[max_shift_outputs];
  for (int o = 0; o < s.outputs; ++o) {
    mix[o] = s.share[o].as<float>();
    out[o] = s.out[o].value.as<float>();
  }
  kernels::token_shift_mix(s.shape, s.x.value.as<float>(), s.state.value.as<float>(), mix, out,
                           s.next_state.value.as<float>());
}

void run_backward(Tape& tape, const Shift& s) {
  const int64_t cols = s.shape.cols;
  const bool direct = s.of == MixOf::previous;  // the share is the weight itself, not one minus it
  Tensor dshare[max_shift_outputs];
  for (int o = 0; o < s.outputs; ++o) {
    if (!s.mix[o]->trainable()) continue;
    dshare[o] = direct ? s.mix[o]->gradient() : tape.scratch({cols}, s.x.dtype());
    if (!direct) set_zero(dshare[o]);
  }
  if (s.x.dtype() == Dtype::f64) {
    reference_backward(tape, s, dshare);
  } else {
    const float *mix[max_shift_outputs], *dout[max_shift_outputs];
    float* dmix[max_shift_outputs];
    for (int o = 0; o < s.outputs; ++o) {
      mix[o] = s.share[o].as<float>();
      dout[o] = s.out[o].gradient->tensor.as<float>();
      dmix[o] = dshare[o].as<float>();
    }
    Tensor scratch = tape.scratch({kernels::row_blocks, s.outputs + 1, cols}, Dtype::f32);
    kernels::token_shift_mix_backward(s.shape, s.x.value.as<float>(), s.state.value.as<float>(), mix, dout,
                                      s.next_state.gradient->tensor.as<float>(),
                                      tape.gradient(s.x).as<float>(), tape.gradient(s.state).as<float>(),
                                      dmix, scratch.as<float>());
    tape.release(scratch);
  }
  for (int o = 0; o < s.outputs && !direct; ++o) {
    if (dshare[o].empty()) continue;
    const Tensor& gradient = s.mix[o]->gradient();
    std::vector<double> total = to_host(gradient), part = to_host(dshare[o]);
    for (size_t i = 0; i < total.size(); ++i) total[i] -= part[i];
    from_host(total, gradient);
    tape.release(dshare[o]);
  }
}

// 0, 1, ... N
const int64_t* row_begins(Context& c) {
  const int64_t rows = c.sequences.rows();
  auto* begins = static_cast<int64_t*>(c.arena.allocate((rows + 1) * static_cast<int64_t>(sizeof(int64_t))));
  std::iota(begins, begins + rows + 1, int64_t{0});
  return begins;
}

}  // namespace

void token_shift_mix(Context& c, const Var& x, Var& state, MixOf of, std::span<Weight* const> mix,
                     std::span<Var> out) {
  const int64_t cols = x.cols();
  require(mix.size() <= max_shift_outputs, "token_shift_mix: {} outputs, at most {} are possible", mix.size(),
          max_shift_outputs);
  require_shape("token_shift_mix", "x", x.shape(), {c.sequences.rows(), cols});
  // Delayed, every row is a sequence of its own, whose state is what was delayed.
  const bool delayed = !c.shift.empty();
  Var above = delayed ? token_delay(c, x, state, c.shift) : state;
  const int64_t sequences = delayed ? x.rows() : c.sequences.count();
  require_shape("token_shift_mix", "state", above.shape(), {sequences, cols});
  Shift s{.x = x,
          .state = above,
          .next_state = c.result_like(above),
          .out = {},
          .mix = {},
          .share = {},
          .outputs = static_cast<int>(mix.size()),
          .of = of,
          .shape = {delayed ? row_begins(c) : c.sequences.begins(), sequences, cols,
                    static_cast<int>(mix.size())}};
  for (size_t o = 0; o < mix.size(); ++o) {
    require_count("token_shift_mix", "mix", mix[o]->value(), cols);
    s.mix[o] = mix[o];
    s.share[o] = mix[o]->value();
    if (of == MixOf::current) {  // one row of weights: not worth a kernel
      s.share[o] = c.arena.tensor({cols}, x.dtype());
      std::vector<double> values = to_host(mix[o]->value());
      for (double& value : values) value = 1 - value;
      from_host(values, s.share[o]);
    }
    s.out[o] = out[o] = c.result_like(x);
  }
  run(s);
  if (c.tape) {
    std::array<Var, max_shift_outputs + 1> outputs{};
    std::copy(s.out, s.out + s.outputs, outputs.begin());
    outputs[max_shift_outputs] = s.next_state;
    c.tape->record(outputs, [s](Tape& tape) { run_backward(tape, s); });
  }
  if (!delayed) state = s.next_state;
}

}  // namespace aviary
