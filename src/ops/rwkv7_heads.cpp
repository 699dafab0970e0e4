// The parts of RWKV-7's time mixing before and after the recurrence, for each head (arXiv 2503.14456, section
// 4.1).
//
// Keys:  z = k k_k, kk = z / |z|;  key = k (1 + (a - 1) k_a), remove = -kk, replace = kk a
//   dkk = dreplace a - dremove;  dz = (dkk - kk (kk . dkk)) / |z|
//   dk = dz k_k + dkey (1 + (a - 1) k_a),  dk_k = dz k,  da = dreplace kk + dkey k k_a,
//   dk_a = dkey k (a - 1)
//
// Output:  out = (n weight + bias + s v) g,  n = group norm of y,  s = sum over the head of r k r_k
//   h = dout g,  dy = rstd (h weight - mean(h weight) - n mean(h weight n)),  ds = sum h v
//   dr = ds k r_k,  dk = ds r r_k,  dr_k = ds r k,  dv = s h,  dg = dout (n weight + bias + s v)
#include <algorithm>
#include <cmath>

#include "ops/ops.h"

namespace aviary {
namespace {

kernels::Heads heads_of(const char* op, int64_t heads, const Var& x) {
  require(heads > 0 && x.cols() % heads == 0, "{}: {} columns cannot be divided into {} heads", op, x.cols(),
          heads);
  return {x.rows(), heads, x.cols() / heads};
}

// Calls body(first column of the head, its offset) for every head of every row.
template <typename Body>
void for_heads(const kernels::Heads& shape, Body body) {
  const int64_t cols = shape.heads * shape.head_size;
  for (int64_t row = 0; row < shape.rows; ++row)
    for (int64_t c = 0; c < cols; c += shape.head_size) body(c, row * cols + c);
}

double norm_of(const double* k, const double* k_k, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += k[i] * k_k[i] * k[i] * k_k[i];
  return std::max(std::sqrt(sum), 1e-12);
}

struct KeysCall {
  kernels::Heads shape;
  Var k, a;
  Weight *k_k, *k_a;
  Rwkv7Keys out;
};

void reference(const KeysCall& call) {
  const double *k = call.k.value.as<double>(), *a = call.a.value.as<double>();
  const double *k_k = call.k_k->value().as<double>(), *k_a = call.k_a->value().as<double>();
  for_heads(call.shape, [&](int64_t c, int64_t at) {
    const double norm = norm_of(k + at, k_k + c, call.shape.head_size);
    for (int64_t i = 0; i < call.shape.head_size; ++i) {
      const double kk = k[at + i] * k_k[c + i] / norm;
      call.out.key.value.as<double>()[at + i] = k[at + i] * (1 + (a[at + i] - 1) * k_a[c + i]);
      call.out.remove.value.as<double>()[at + i] = -kk;
      call.out.replace.value.as<double>()[at + i] = kk * a[at + i];
    }
  });
}

void backward(Tape& tape, const KeysCall& call) {
  const Tensor dkey = tape.gradient(call.out.key), dremove = tape.gradient(call.out.remove);
  const Tensor dreplace = tape.gradient(call.out.replace), dk = tape.gradient(call.k),
               da = tape.gradient(call.a);
  const Tensor dk_k = call.k_k->gradient(), dk_a = call.k_a->gradient();
  const Tensor k = call.k.value, a = call.a.value, k_k = call.k_k->value(), k_a = call.k_a->value();
  if (dkey.dtype() == Dtype::f32) {
    Tensor scratch = tape.scratch({kernels::row_blocks, 2, call.k.cols()}, Dtype::f32);
    kernels::rwkv7_keys_backward(call.shape, k.as<float>(), k_k.as<float>(), a.as<float>(), k_a.as<float>(),
                                 dkey.as<float>(), dremove.as<float>(), dreplace.as<float>(), dk.as<float>(),
                                 dk_k.as<float>(), da.as<float>(), dk_a.as<float>(), scratch.as<float>());
    tape.release(scratch);
    return;
  }
  for_heads(call.shape, [&](int64_t c, int64_t at) {
    const int64_t n = call.shape.head_size;
    const double norm = norm_of(k.as<double>() + at, k_k.as<double>() + c, n);
    double along = 0;
    auto kk = [&](int64_t i) { return k.as<double>()[at + i] * k_k.as<double>()[c + i] / norm; };
    auto dkk = [&](int64_t i) {
      return dreplace.as<double>()[at + i] * a.as<double>()[at + i] - dremove.as<double>()[at + i];
    };
    for (int64_t i = 0; i < n; ++i) along += kk(i) * dkk(i);
    for (int64_t i = 0; i < n; ++i) {
      const double key = k.as<double>()[at + i], rate = a.as<double>()[at + i], mix = k_a.as<double>()[c + i];
      const double g = dkey.as<double>()[at + i], dz = (dkk(i) - kk(i) * along) / norm;
      dk.as<double>()[at + i] += dz * k_k.as<double>()[c + i] + g * (1 + (rate - 1) * mix);
      da.as<double>()[at + i] += dreplace.as<double>()[at + i] * kk(i) + g * key * mix;
      if (!dk_k.empty()) dk_k.as<double>()[c + i] += dz * key;
      if (!dk_a.empty()) dk_a.as<double>()[c + i] += g * key * (rate - 1);
    }
  });
}

struct OutputCall {
  kernels::Heads shape;
  Rwkv7Output in;
  double epsilon;
  Var out;
};

struct Statistics {
  double mean = 0, rstd = 0, bonus = 0;
};

Statistics statistics(const OutputCall& call, int64_t c, int64_t at) {
  const int64_t n = call.shape.head_size;
  const double* y = call.in.y.value.as<double>() + at;
  Statistics s;
  double variance = 0;
  for (int64_t i = 0; i < n; ++i) s.mean += y[i] / static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) variance += (y[i] - s.mean) * (y[i] - s.mean) / static_cast<double>(n);
  s.rstd = 1 / std::sqrt(variance + call.epsilon);
  for (int64_t i = 0; i < n; ++i)
    s.bonus += call.in.r.value.as<double>()[at + i] * call.in.k.value.as<double>()[at + i] *
               call.in.r_k.value().as<double>()[c + i];
  return s;
}

void reference(const OutputCall& call) {
  const Rwkv7Output& in = call.in;
  for_heads(call.shape, [&](int64_t c, int64_t at) {
    const Statistics s = statistics(call, c, at);
    for (int64_t i = 0; i < call.shape.head_size; ++i) {
      const double n = (in.y.value.as<double>()[at + i] - s.mean) * s.rstd;
      const double whole = n * in.weight.value().as<double>()[c + i] + in.bias.value().as<double>()[c + i] +
                           s.bonus * in.v.value.as<double>()[at + i];
      call.out.value.as<double>()[at + i] = whole * in.g.value.as<double>()[at + i];
    }
  });
}

void reference_backward(Tape& tape, const OutputCall& call) {
  const Rwkv7Output& in = call.in;
  auto gradient = [&](const Var& x) { return tape.gradient(x).as<double>(); };
  double *dy = gradient(in.y), *dr = gradient(in.r), *dk = gradient(in.k), *dv = gradient(in.v),
         *dg = gradient(in.g);
  double *dr_k = in.r_k.gradient().as<double>(), *dweight = in.weight.gradient().as<double>();
  double *dbias = in.bias.gradient().as<double>(), *dout = gradient(call.out);
  const double *y = in.y.value.as<double>(), *r = in.r.value.as<double>(), *k = in.k.value.as<double>();
  const double *v = in.v.value.as<double>(), *g = in.g.value.as<double>(), *r_k = in.r_k.value().as<double>();
  const double *weight = in.weight.value().as<double>(), *bias = in.bias.value().as<double>();
  for_heads(call.shape, [&](int64_t c, int64_t at) {
    const int64_t n = call.shape.head_size;
    const Statistics s = statistics(call, c, at);
    double mean_h = 0, mean_hn = 0, ds = 0;
    auto h = [&](int64_t i) { return dout[at + i] * g[at + i]; };
    auto normed = [&](int64_t i) { return (y[at + i] - s.mean) * s.rstd; };
    for (int64_t i = 0; i < n; ++i) {
      mean_h += h(i) * weight[c + i] / static_cast<double>(n);
      mean_hn += h(i) * weight[c + i] * normed(i) / static_cast<double>(n);
      ds += h(i) * v[at + i];
    }
    for (int64_t i = 0; i < n; ++i) {
      dy[at + i] += s.rstd * (h(i) * weight[c + i] - mean_h - normed(i) * mean_hn);
      dr[at + i] += ds * k[at + i] * r_k[c + i];
      dk[at + i] += ds * r[at + i] * r_k[c + i];
      dv[at + i] += s.bonus * h(i);
      dg[at + i] += dout[at + i] * (normed(i) * weight[c + i] + bias[c + i] + s.bonus * v[at + i]);
      if (dr_k) dr_k[c + i] += ds * r[at + i] * k[at + i];
      if (dweight) dweight[c + i] += h(i) * normed(i);
      if (dbias) dbias[c + i] += h(i);
    }
  });
}

kernels::Rwkv7OutputInputs inputs(const Rwkv7Output& in) {
  return {in.y.value.as<float>(),        in.r.value.as<float>(),     in.k.value.as<float>(),
          in.v.value.as<float>(),        in.g.value.as<float>(),     in.r_k.value().as<float>(),
          in.weight.value().as<float>(), in.bias.value().as<float>()};
}

void backward(Tape& tape, const OutputCall& call) {
  if (call.out.dtype() == Dtype::f64) return reference_backward(tape, call);
  const Rwkv7Output& in = call.in;
  auto gradient = [&](const Var& x) { return tape.gradient(x).as<float>(); };
  const kernels::Rwkv7OutputGradients to{gradient(in.y),
                                         gradient(in.r),
                                         gradient(in.k),
                                         gradient(in.v),
                                         gradient(in.g),
                                         in.r_k.gradient().as<float>(),
                                         in.weight.gradient().as<float>(),
                                         in.bias.gradient().as<float>()};
  Tensor scratch = tape.scratch({kernels::row_blocks, 3, in.y.cols()}, Dtype::f32);
  kernels::rwkv7_output_backward(call.shape, inputs(in), static_cast<float>(call.epsilon), gradient(call.out),
                                 to, scratch.as<float>());
  tape.release(scratch);
}

}  // namespace

Rwkv7Keys rwkv7_keys(Context& c, int64_t heads, const Var& k, Weight& k_k, const Var& a, Weight& k_a) {
  require_shape("rwkv7_keys", "a", a.shape(), k.shape());
  require_count("rwkv7_keys", "k_k", k_k.value(), k.cols());
  require_count("rwkv7_keys", "k_a", k_a.value(), k.cols());
  KeysCall call{heads_of("rwkv7_keys", heads, k),
                k,
                a,
                &k_k,
                &k_a,
                {c.result_like(k), c.result_like(k), c.result_like(k)}};
  if (k.dtype() == Dtype::f64)
    reference(call);
  else
    kernels::rwkv7_keys(call.shape, k.value.as<float>(), k_k.value().as<float>(), a.value.as<float>(),
                        k_a.value().as<float>(), call.out.key.value.as<float>(),
                        call.out.remove.value.as<float>(), call.out.replace.value.as<float>());
  if (c.tape)
    c.tape->record({call.out.key, call.out.remove, call.out.replace},
                   [call](Tape& tape) { backward(tape, call); });
  return call.out;
}

Var rwkv7_output(Context& c, int64_t heads, const Rwkv7Output& in, double epsilon) {
  const std::pair<const char*, const Var*> arguments[] = {
      {"r", &in.r}, {"k", &in.k}, {"v", &in.v}, {"g", &in.g}};
  for (const auto& [name, argument] : arguments)
    require_shape("rwkv7_output", name, argument->shape(), in.y.shape());
  require_count("rwkv7_output", "r_k", in.r_k.value(), in.y.cols());
  require_count("rwkv7_output", "weight", in.weight.value(), in.y.cols());
  require_count("rwkv7_output", "bias", in.bias.value(), in.y.cols());
  OutputCall call{heads_of("rwkv7_output", heads, in.y), in, epsilon, c.result_like(in.y)};
  if (in.y.dtype() == Dtype::f64)
    reference(call);
  else
    kernels::rwkv7_output(call.shape, inputs(in), static_cast<float>(epsilon), call.out.value.as<float>());
  if (c.tape) c.tape->record({call.out}, [call](Tape& tape) { backward(tape, call); });
  return call.out;
}

}  // namespace aviary
