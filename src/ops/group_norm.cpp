// Group norm (Wu, He 2018, arXiv 1803.08494) with the heads of a row as its groups, and the gate that follows
// it in RWKV-5 and 6.
//   n = (x - mean) rstd over the head,  y = (n weight + bias) gate,  gate = 1, g or silu(g) = g sigmoid(g)
//   h = dy gate,  dx = rstd (h weight - mean(h weight) - n mean(h weight n)),  dweight = sum h n,
//   dbias = sum h,  dg = dy (n weight + bias) gate'
#include <cmath>

#include "ops/ops.h"

namespace aviary {
namespace {

struct Call {
  kernels::Heads shape;
  HeadNorm in;
  double epsilon;
  Var y;
};

struct GateValue {
  double value, slope;
};

GateValue gate_of(Gate kind, const Tensor& g, int64_t at) {
  if (kind == Gate::none) return {1, 0};
  const double x = g.as<double>()[at];
  if (kind == Gate::plain) return {x, 1};
  const double s = 1 / (1 + std::exp(-x));
  return {x * s, s * (1 + x * (1 - s))};
}

struct Statistics {
  double mean = 0, rstd = 0;
};

Statistics statistics(const double* x, int64_t n, double epsilon) {
  Statistics s;
  double variance = 0;
  for (int64_t i = 0; i < n; ++i) s.mean += x[i] / static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) variance += (x[i] - s.mean) * (x[i] - s.mean) / static_cast<double>(n);
  s.rstd = 1 / std::sqrt(variance + epsilon);
  return s;
}

// Calls body(first column of the head, its offset) for every head of every row.
template <typename Body>
void for_heads(const kernels::Heads& shape, Body body) {
  const int64_t cols = shape.heads * shape.head_size;
  for (int64_t row = 0; row < shape.rows; ++row)
    for (int64_t c = 0; c < cols; c += shape.head_size) body(c, row * cols + c);
}

void reference(const Call& call) {
  const int64_t n = call.shape.head_size;
  const double *weight = call.in.weight.value().as<double>(), *bias = call.in.bias.value().as<double>();
  for_heads(call.shape, [&](int64_t c, int64_t at) {
    const double* x = call.in.x.value.as<double>() + at;
    const Statistics s = statistics(x, n, call.epsilon);
    for (int64_t i = 0; i < n; ++i)
      call.y.value.as<double>()[at + i] = ((x[i] - s.mean) * s.rstd * weight[c + i] + bias[c + i]) *
                                          gate_of(call.in.gate, call.in.g.value, at + i).value;
  });
}

void reference_backward(Tape& tape, const Call& call) {
  const int64_t n = call.shape.head_size;
  const double *weight = call.in.weight.value().as<double>(), *bias = call.in.bias.value().as<double>();
  double *dweight = call.in.weight.gradient().as<double>(), *dbias = call.in.bias.gradient().as<double>();
  const double* dy = tape.gradient(call.y).as<double>();
  double* dx = tape.gradient(call.in.x).as<double>();
  double* dg = call.in.gate == Gate::none ? nullptr : tape.gradient(call.in.g).as<double>();
  for_heads(call.shape, [&](int64_t c, int64_t at) {
    const double* x = call.in.x.value.as<double>() + at;
    const Statistics s = statistics(x, n, call.epsilon);
    auto normed = [&](int64_t i) { return (x[i] - s.mean) * s.rstd; };
    auto gate = [&](int64_t i) { return gate_of(call.in.gate, call.in.g.value, at + i); };
    double mean_h = 0, mean_hn = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double h = dy[at + i] * gate(i).value * weight[c + i] / static_cast<double>(n);
      mean_h += h;
      mean_hn += h * normed(i);
    }
    for (int64_t i = 0; i < n; ++i) {
      const double h = dy[at + i] * gate(i).value;
      if (dx) dx[at + i] += s.rstd * (h * weight[c + i] - mean_h - normed(i) * mean_hn);
      if (dg) dg[at + i] += dy[at + i] * (normed(i) * weight[c + i] + bias[c + i]) * gate(i).slope;
      if (dweight) dweight[c + i] += h * normed(i);
      if (dbias) dbias[c + i] += h;
    }
  });
}

void backward(Tape& tape, const Call& call) {
  if (call.y.dtype() == Dtype::f64) return reference_backward(tape, call);
  const HeadNorm& in = call.in;
  const Tensor dg = in.gate == Gate::none ? Tensor() : tape.gradient(in.g);
  Tensor scratch = tape.scratch({kernels::row_blocks, 2, call.y.cols()}, Dtype::f32);
  kernels::group_norm_backward(call.shape, in.gate, in.x.value.as<float>(), in.weight.value().as<float>(),
                               in.bias.value().as<float>(), in.g.value.as<float>(),
                               static_cast<float>(call.epsilon), tape.gradient(call.y).as<float>(),
                               tape.gradient(in.x).as<float>(), in.weight.gradient().as<float>(),
                               in.bias.gradient().as<float>(), dg.as<float>(), scratch.as<float>());
  tape.release(scratch);
}

}  // namespace

Var group_norm(Context& c, int64_t heads, const HeadNorm& in, double epsilon) {
  const int64_t cols = in.x.cols();
  require(heads > 0 && cols % heads == 0, "group_norm: {} columns cannot be divided into {} heads", cols,
          heads);
  require_count("group_norm", "weight", in.weight.value(), cols);
  require_count("group_norm", "bias", in.bias.value(), cols);
  if (in.gate != Gate::none) require_shape("group_norm", "g", in.g.shape(), in.x.shape());
  Call call{{in.x.rows(), heads, cols / heads}, in, epsilon, c.result_like(in.x)};
  if (in.x.dtype() == Dtype::f64)
    reference(call);
  else
    kernels::group_norm(call.shape, in.gate, in.x.value.as<float>(), in.weight.value().as<float>(),
                        in.bias.value().as<float>(), in.g.value.as<float>(), static_cast<float>(epsilon),
                        call.y.value.as<float>());
  if (c.tape) c.tape->record({call.y}, [call](Tape& tape) { backward(tape, call); });
  return call.y;
}

}  // namespace aviary
