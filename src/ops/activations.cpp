// Activations, gates and other elementwise operators, and the low-rank projection that uses them.
//   tanh: dx = dy (1 - y^2);  sigmoid: dx = dy y (1 - y);  relu(x)^2: dx = dy 2 relu(x);
//   gelu: y = x P(x), P the normal distribution: dx = dy (P(x) + x P'(x));
//   mish: y = x s, s = tanh(log(1 + e^x)): dx = dy (s + x (1 - s^2) sigmoid(x));  dbias = sum over rows of dx
//   gate: y = s x with s = sigmoid(r):  dx = dy s,  dr = dy x s (1 - s)
//   lerp: y = v + (f - v) g:  dv = dy (1 - g),  df = dy g,  dg = dy (f - v)
#include <algorithm>
#include <cmath>
#include <numbers>

#include "ops/accumulate.h"
#include "ops/ops.h"

namespace aviary {
namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// Distribution function and density of the standard normal distribution.
double probability(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }
double density(double x) { return std::exp(-0.5 * x * x) * std::numbers::inv_sqrtpi / std::numbers::sqrt2; }

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

double reference(Activation kind, double x) {
  switch (kind) {
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::relu_squared:
      return x > 0 ? x * x : 0;
    case Activation::gelu:
      return x * probability(x);
    case Activation::mish:
      return x * std::tanh(softplus(x));
    case Activation::none:
      return x;
  }
  return x;
}

// Whether the backward pass needs x; otherwise it needs only y.
bool keeps_input(Activation kind) {
  return kind == Activation::relu_squared || kind == Activation::gelu || kind == Activation::mish;
}

// The derivative from what the backward pass keeps.
double reference_slope(Activation kind, double kept) {
  switch (kind) {
    case Activation::tanh:
      return 1 - kept * kept;
    case Activation::sigmoid:
      return kept * (1 - kept);
    case Activation::relu_squared:
      return 2 * std::max(kept, 0.0);
    case Activation::gelu:
      return probability(kept) + kept * density(kept);
    case Activation::mish: {
      const double s = std::tanh(softplus(kept));
      return s + kept * (1 - s * s) * sigmoid(kept);
    }
    case Activation::none:
      return 1;
  }
  return 1;
}

void activate_values(Activation kind, const Tensor& x, const Weight* bias, const Tensor& y) {
  const int64_t rows = x.rows(), cols = x.cols();
  if (x.dtype() == Dtype::f32) {
    kernels::activate(kind, x.as<float>(), bias ? bias->value().as<float>() : nullptr, rows, cols,
                      y.as<float>());
    return;
  }
  for (int64_t i = 0; i < x.count(); ++i)
    y.as<double>()[i] =
        reference(kind, x.as<double>()[i] + (bias ? bias->value().as<double>()[i % cols] : 0.0));
}

void activate_backward(Tape& tape, Activation kind, const Var& x, const Var& y, const Tensor& kept,
                       Weight* bias) {
  Tensor g = tape.gradient(y);  // not needed afterwards, so it becomes the gradient of x in place
  const int64_t cols = x.cols();
  const bool want_bias = bias && bias->trainable();
  if (x.dtype() == Dtype::f64) {
    for (int64_t i = 0; i < g.count(); ++i) {
      g.as<double>()[i] *= reference_slope(kind, kept.as<double>()[i]);
      if (want_bias) bias->gradient().as<double>()[i % cols] += g.as<double>()[i];
    }
  } else {
    kernels::activate_backward(kind, kept.as<float>(), g.count(), g.as<float>());
    if (want_bias) {
      Tensor scratch = tape.scratch({kernels::row_blocks, cols}, Dtype::f32);
      kernels::sum_rows(g.as<float>(), g.rows(), cols, bias->gradient().as<float>(), scratch.as<float>());
      tape.release(scratch);
    }
  }
  pass_gradient(tape, y, x);
}

// `y` may be the memory of x if nothing else reads x.
Var activate_into(Context& c, Activation kind, const Var& x, Weight* bias, Var y) {
  activate_values(kind, x.value, bias, y.value);
  if (!c.tape) return y;
  Tensor kept = keeps_input(kind) ? x.value : y.value;
  c.tape->record({y}, [=](Tape& tape) { activate_backward(tape, kind, x, y, kept, bias); });
  return y;
}

}  // namespace

Var activate(Context& c, Activation kind, const Var& x, Weight* bias) {
  if (bias) require_count("activate", "bias", bias->value(), x.cols());
  require(!(bias && keeps_input(kind)), "activate: relu_squared, gelu and mish take no bias");
  return activate_into(c, kind, x, bias, c.result_like(x));
}

void low_rank_each(Context& c, std::span<const Var> x, std::span<const LowRank> weights, std::span<Var> out) {
  constexpr size_t most = 8;
  require(x.size() == weights.size() && x.size() == out.size() && x.size() <= most,
          "low_rank_each: {} inputs and {} pairs of matrices, expected equally many, at most {}", x.size(),
          weights.size(), most);
  auto in_place = [&](Activation kind, const Var& value, Weight* bias) {
    if (kind == Activation::none && !bias) return value;
    Var y = c.tape ? c.tape->variable(value.value) : value;
    return activate_into(c, kind, value, bias, y);
  };
  std::array<Weight*, most> down{}, up{};
  for (size_t i = 0; i < x.size(); ++i) {
    down[i] = &weights[i].down;
    up[i] = &weights[i].up;
  }
  std::array<Var, most> hidden;
  const std::span<Var> within(hidden.data(), x.size());
  linear_each(c, x, {down.data(), x.size()}, Layout::in_out, within);
  for (size_t i = 0; i < x.size(); ++i) within[i] = in_place(weights[i].hidden, within[i], nullptr);
  linear_each(c, within, {up.data(), x.size()}, Layout::in_out, out);
  for (size_t i = 0; i < x.size(); ++i) out[i] = in_place(weights[i].output, out[i], weights[i].bias);
}

Var low_rank(Context& c, const Var& x, const LowRank& weights) {
  Var y;
  low_rank_each(c, {&x, 1}, {&weights, 1}, {&y, 1});
  return y;
}

Var add(Context& c, const Var& a, const Var& b) {
  require_shape("add", "b", b.shape(), a.shape());
  Var y = c.result_like(a);
  copy(a.value, y.value);
  accumulate(b.value, y.value);
  if (!c.tape) return y;
  c.tape->record({y}, [=](Tape& tape) {
    if (b.gradient) accumulate(tape.gradient(y), tape.gradient(b));
    pass_gradient(tape, y, a);
  });
  return y;
}

Var mul(Context& c, const Var& a, const Var& b) {
  require_shape("mul", "b", b.shape(), a.shape());
  Var y = c.result_like(a);
  const int64_t count = a.value.count();
  if (a.dtype() == Dtype::f64)
    for (int64_t i = 0; i < count; ++i)
      y.value.as<double>()[i] = a.value.as<double>()[i] * b.value.as<double>()[i];
  else
    kernels::mul(a.value.as<float>(), b.value.as<float>(), count, y.value.as<float>());
  if (!c.tape) return y;
  c.tape->record({y}, [=](Tape& tape) {
    const Tensor dy = tape.gradient(y), da = tape.gradient(a), db = tape.gradient(b);
    if (a.dtype() == Dtype::f32) {
      kernels::mul_backward(a.value.as<float>(), b.value.as<float>(), dy.as<float>(), count, da.as<float>(),
                            db.as<float>());
      return;
    }
    for (int64_t i = 0; i < count; ++i) {
      if (!da.empty()) da.as<double>()[i] += dy.as<double>()[i] * b.value.as<double>()[i];
      if (!db.empty()) db.as<double>()[i] += dy.as<double>()[i] * a.value.as<double>()[i];
    }
  });
  return y;
}

Var dropout(Context& c, const Var& x, double p) {
  if (p <= 0) return x;
  require(x.dtype() == Dtype::f32, "dropout: only float32 activations can be dropped");
  const uint64_t seed = c.dropout.random->next();
  Var y = c.result_like(x);
  kernels::dropout(x.value.as<float>(), p, seed, x.value.count(), y.value.as<float>());
  if (!c.tape) return y;
  c.tape->record({y}, [=](Tape& tape) {
    Tensor dy = tape.gradient(y);
    kernels::dropout(dy.as<float>(), p, seed, dy.count(), dy.as<float>());
    pass_gradient(tape, y, x);
  });
  return y;
}

namespace {

bool drops(const Context& c, Branch branch) { return c.dropout.acts(branch); }

}  // namespace

Var add_branch(Context& c, Branch branch, const Var& residual, const Var& y) {
  if (!drops(c, branch)) return add(c, residual, y);
  const Var sum = add(c, residual, c.dropout.places.on(branch) ? dropout(c, y, c.dropout.probability) : y);
  return c.dropout.places.after(branch) ? dropout(c, sum, c.dropout.probability) : sum;
}

Var residual_linear(Context& c, Branch branch, const Var& residual, const Var& x, Weight& weight) {
  if (drops(c, branch)) return add_branch(c, branch, residual, linear(c, x, weight));
  return linear(c, x, weight, Layout::out_in, residual);
}

Var residual_linear(Context& c, Branch branch, const Var& residual, const Var& x, const Affine& weights) {
  if (drops(c, branch)) return add_branch(c, branch, residual, linear(c, x, weights));
  return linear(c, x, weights, residual);
}

Var residual_gate(Context& c, Branch branch, const Var& residual, const Var& r, const Var& x) {
  if (drops(c, branch)) return add_branch(c, branch, residual, sigmoid_gate(c, r, x));
  return sigmoid_gate(c, r, x, residual);
}

Var sigmoid_gate(Context& c, const Var& r, const Var& x, const Var& residual) {
  require_shape("sigmoid_gate", "x", x.shape(), r.shape());
  if (!residual.empty()) require_shape("sigmoid_gate", "residual", residual.shape(), r.shape());
  Var y = c.result_like(x);
  const int64_t count = x.value.count();
  if (x.dtype() == Dtype::f64)
    for (int64_t i = 0; i < count; ++i)
      y.value.as<double>()[i] = sigmoid(r.value.as<double>()[i]) * x.value.as<double>()[i] +
                                (residual.empty() ? 0.0 : residual.value.as<double>()[i]);
  else
    kernels::sigmoid_gate(r.value.as<float>(), x.value.as<float>(), residual.value.as<float>(), count,
                          y.value.as<float>());
  if (!c.tape) return y;
  c.tape->record({y}, [=](Tape& tape) {
    Tensor dy = tape.gradient(y), dr = tape.gradient(r), dx = tape.gradient(x);
    if (x.dtype() == Dtype::f64) {
      for (int64_t i = 0; i < count; ++i) {
        const double s = sigmoid(r.value.as<double>()[i]), g = dy.as<double>()[i];
        if (!dr.empty()) dr.as<double>()[i] += g * x.value.as<double>()[i] * s * (1 - s);
        if (!dx.empty()) dx.as<double>()[i] += g * s;
      }
    } else {
      kernels::sigmoid_gate_backward(r.value.as<float>(), x.value.as<float>(), dy.as<float>(), count,
                                     dr.as<float>(), dx.as<float>());
    }
    pass_gradient(tape, y, residual);
  });
  return y;
}

Var lerp(Context& c, const Var& v, const Var& v_first, const Var& gate) {
  require_shape("lerp", "v_first", v_first.shape(), v.shape());
  require_shape("lerp", "gate", gate.shape(), v.shape());
  Var y = c.result_like(v);
  const int64_t count = v.value.count();
  if (v.dtype() == Dtype::f64)
    for (int64_t i = 0; i < count; ++i) {
      const double from = v.value.as<double>()[i];
      y.value.as<double>()[i] = from + (v_first.value.as<double>()[i] - from) * gate.value.as<double>()[i];
    }
  else
    kernels::lerp(v.value.as<float>(), v_first.value.as<float>(), gate.value.as<float>(), count,
                  y.value.as<float>());
  if (!c.tape) return y;
  c.tape->record({y}, [=](Tape& tape) {
    Tensor dy = tape.gradient(y), dv = tape.gradient(v), df = tape.gradient(v_first),
           dg = tape.gradient(gate);
    if (v.dtype() == Dtype::f32) {
      kernels::lerp_backward(v.value.as<float>(), v_first.value.as<float>(), gate.value.as<float>(),
                             dy.as<float>(), count, dv.as<float>(), df.as<float>(), dg.as<float>());
      return;
    }
    for (int64_t i = 0; i < count; ++i) {
      const double g = dy.as<double>()[i], share = gate.value.as<double>()[i];
      if (!dv.empty()) dv.as<double>()[i] += g * (1 - share);
      if (!df.empty()) df.as<double>()[i] += g * share;
      if (!dg.empty()) dg.as<double>()[i] += g * (v_first.value.as<double>()[i] - v.value.as<double>()[i]);
    }
  });
  return y;
}

}  // namespace aviary
