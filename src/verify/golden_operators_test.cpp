// Compares the operators in double precision with outputs and gradients of the original code
// (tests/golden/ops).
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/difference.h"
#include "base/files.h"
#include "formats/tensor_file.h"
#include "ops/forms.h"
#include "ops/ops.h"
#include "support/repository.h"

namespace aviary {
namespace {

using Doubles = std::vector<double>;

TensorFile golden_file(const std::string& name) {
  return read_tensor_file(golden("ops/" + name + ".safetensors"));
}

// One golden file: inputs [B, T, C] become rows, and the given gradients of the outputs are propagated
// backward.
class GoldenOperator {
 public:
  explicit GoldenOperator(const std::string& name, const std::string& rows_of)
      : file_(golden_file(name)), tape_(arena_) {
    const std::vector<int64_t>& shape = file_.find(rows_of)->shape;
    const bool batched = shape.size() == 3;
    sequences_ = Sequences::uniform(batched ? shape[0] : 1, batched ? shape[1] : shape[0]);
  }

  Context context() { return {arena_, sequences_, kernels::Precision::f32, &tape_}; }
  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  Doubles values(const std::string& name) const { return to_doubles(*file_.find(name)); }

  Var rows(const std::string& name) {
    Doubles all = values(name);
    Var x = tape_.variable(
        arena_.tensor({sequences_.rows(), static_cast<int64_t>(all.size()) / sequences_.rows()}, Dtype::f64));
    from_host(all, x.value);
    inputs_.emplace_back(name, x);
    return x;
  }
  Weight& weight(const std::string& name) {
    Doubles all = values(name);
    weights_.push_back(std::make_unique<Weight>(name, Shape{static_cast<int64_t>(all.size())}, Dtype::f64));
    from_host(all, weights_.back()->value());
    weights_.back()->set_trainable(true);
    return *weights_.back();
  }
  // An empty history with capacity for the rows.
  Var history(int64_t cols) {
    Var x{arena_.tensor({sequences(), sequences_.length(0), cols}, Dtype::f64)};
    set_zero(x.value);
    return x;
  }
  // A state of S sequences from a golden tensor, or filled with `initial`.
  Var state(const std::string& name, Shape shape, double initial) {
    Var x = tape_.variable(arena_.tensor(shape, Dtype::f64));
    from_host(has(name) ? values(name) : Doubles(static_cast<size_t>(shape.count()), initial), x.value);
    if (has(name)) inputs_.emplace_back(name, x);
    return x;
  }

  // Compares y with out.<name> and starts its gradient with gout.<name>.
  void expect(const std::string& name, const Var& y, double tolerance) {
    EXPECT_LE(largest_difference(to_host(y.value), values("out." + name)),
              tolerance * scale(values("out." + name)));
    if (!has("gout." + name)) return;
    Tensor dy = arena_.tensor(y.shape(), Dtype::f64);
    from_host(values("gout." + name), dy);
    tape_.seed(y, dy);
  }
  void expect_gradients(double tolerance) {
    tape_.backward();
    for (const auto& [name, x] : inputs_) expect_gradient(name, x.gradient->tensor, tolerance);
    for (const auto& weight : weights_) expect_gradient(weight->name(), weight->gradient(), tolerance);
  }

  int64_t sequences() const { return sequences_.count(); }

 private:
  static double scale(const Doubles& values) {
    double largest = 1e-12;
    for (double value : values) largest = std::max(largest, std::abs(value));
    return largest;
  }
  void expect_gradient(const std::string& name, const Tensor& ours, double tolerance) {
    if (!has("grad." + name)) return;
    const Doubles expected = values("grad." + name);
    EXPECT_LE(largest_difference(to_host(ours), expected), tolerance * scale(expected)) << name;
  }

  TensorFile file_;
  Arena arena_;
  Tape tape_;
  Sequences sequences_;
  std::vector<std::pair<std::string, Var>> inputs_;
  std::vector<std::unique_ptr<Weight>> weights_;
};

// The five forms of docs/forms.md.
TEST(GoldenOperators, FiveForms) {
  const TensorFile golden = golden_file("seed004_forms");
  auto values = [&](const std::string& name) { return to_doubles(*golden.find(name)); };
  auto matrix = [&](const std::string& name) {
    const std::vector<int64_t>& shape = golden.find(name)->shape;
    return forms::Matrix(shape[0], shape[1], values(name));
  };
  const forms::Matrix Q = matrix("Q"), K = matrix("K"), V = matrix("V"), W = matrix("W_aft");
  const forms::Vector w = values("W_rwkv"), u = values("U_rwkv");
  for (auto [name, y] : {std::pair("attention", forms::attention(Q, K, V, forms::Sees::all)),
                         std::pair("aft", forms::aft(W, K, V, forms::Sees::past)),
                         std::pair("rwkv_parallel", forms::rwkv_parallel(w, u, K, V)),
                         std::pair("rwkv_rnn", forms::rwkv_recurrent(w, u, K, V)),
                         std::pair("rwkv_rnn_stable", forms::rwkv_stable(w, u, K, V))})
    EXPECT_LE(largest_difference(y.values(), values(std::string("out.") + name)), 1e-12) << name;
}

constexpr double exact = 1e-9;          // relative
constexpr double wkv7_constant = 1e-8;  // the original rounds e^-1/2 to ten digits

TEST(GoldenOperators, LayerNorm) {
  GoldenOperator golden("layer_norm", "x");
  Context c = golden.context();
  golden.expect("y", layer_norm(c, golden.rows("x"), golden.weight("weight"), golden.weight("bias")), exact);
  golden.expect_gradients(exact);
}

class GoldenWkv2 : public testing::TestWithParam<const char*> {};

TEST_P(GoldenWkv2, OutputsAndGradients) {
  const std::string name = GetParam();
  GoldenOperator golden(name, "k");
  Context c = golden.context();
  Var k = golden.rows("k"), v = golden.rows("v"), r = golden.rows("r");
  const Shape shape{golden.sequences(), k.cols()};
  Var aa = golden.state("aa", shape, 0), bb = golden.state("bb", shape, 0);
  Var y = wkv2(c, golden.weight("time_decay"), golden.weight("time_first"), k, v, {aa, bb},
               name.starts_with("v2") ? 1e-16 : 1e-8);
  golden.expect("y", sigmoid_gate(c, r, y), exact);
  golden.expect_gradients(exact);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenWkv2,
                         testing::Values("v2_timemix_core", "v3_timemix_core", "v3_timemix_clamp"));

TEST(GoldenOperators, GeluAndMish) {
  const TensorFile golden = golden_file("acts");
  Arena arena;
  const Doubles x = to_doubles(*golden.find("x"));
  const auto count = static_cast<int64_t>(x.size());
  const Sequences sequences = Sequences::uniform(1, count);
  Context c{arena, sequences};
  Var in = c.result({count, 1}, Dtype::f64);
  from_host(x, in.value);
  for (auto [name, kind] :
       {std::pair("out.gelu_erf", Activation::gelu), std::pair("out.mish", Activation::mish)})
    EXPECT_LE(largest_difference(to_host(activate(c, kind, in).value), to_doubles(*golden.find(name))), 1e-12)
        << name;
}

// The variants of AFT differ only in w: zero, a band around the diagonal, a product of two thin matrices.
class GoldenAft : public testing::TestWithParam<const char*> {};

TEST_P(GoldenAft, OutputsAndGradients) {
  GoldenOperator golden(GetParam(), "q");
  Context c = golden.context();
  const std::string name = GetParam();
  const int64_t T = c.sequences.length(0), band = 3;
  const bool local = name.find("local") != name.npos;
  Doubles w(static_cast<size_t>(T * T)), pu, pv;
  if (golden.has("w")) w = golden.values("w");
  if (golden.has("pu")) pu = golden.values("pu"), pv = golden.values("pv");
  const int64_t rank = std::ssize(pu) / T;
  auto at = [&](int64_t row, int64_t col, int64_t cols) { return static_cast<size_t>(row * cols + col); };
  auto for_pairs = [&](auto body) {
    for (int64_t t = 0; t < T; ++t)
      for (int64_t i = 0; i < T; ++i) body(t, i, w[at(t, i, T)]);
  };
  for_pairs([&](int64_t t, int64_t i, double& value) {
    if (local && std::abs(t - i) >= band) value = 0;
    for (int64_t r = 0; r < rank; ++r) value += pu[at(t, r, rank)] * pv[at(i, r, rank)];
  });
  Weight weight("w", {T, T}, Dtype::f64);
  from_host(w, weight.value());
  weight.set_trainable(true);
  Var q = golden.rows("q"), k = golden.rows("k"), v = golden.rows("v");
  Var keys = golden.history(k.cols()), values = golden.history(k.cols());
  append_history(c, k, keys);
  append_history(c, v, values);
  golden.expect("y", sigmoid_gate(c, q, aft_full(c, weight, keys, values)), exact);
  golden.expect_gradients(exact);
  w = to_host(weight.gradient());
  if (golden.has("grad.w")) {
    for_pairs(
        [&](int64_t t, int64_t i, double& value) { value = local && std::abs(t - i) >= band ? 0 : value; });
    EXPECT_LE(largest_difference(w, golden.values("grad.w")), exact);
  }
  if (pu.empty()) return;
  Doubles dpu(pu.size()), dpv(pv.size());
  for_pairs([&](int64_t t, int64_t i, double value) {
    for (int64_t r = 0; r < rank; ++r) {
      dpu[at(t, r, rank)] += value * pv[at(i, r, rank)];
      dpv[at(i, r, rank)] += value * pu[at(t, r, rank)];
    }
  });
  EXPECT_LE(largest_difference(dpu, golden.values("grad.pu")), exact);
  EXPECT_LE(largest_difference(dpv, golden.values("grad.pv")), exact);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenAft,
                         testing::Values("aft_full_causal", "aft_simple_causal", "aft_local_causal",
                                         "aft_factorised_causal"));

TEST(GoldenOperators, AftWithLaterTokens) {
  GoldenOperator golden("aft_full", "q");
  const int64_t T = golden.context().sequences.length(0), C = golden.rows("q").cols(), size = T * C;
  const Doubles q = golden.values("q"), k = golden.values("k"), v = golden.values("v"),
                y = golden.values("out.y");
  const forms::Matrix W(T, T, golden.values("w"));
  for (int64_t s = 0; s < golden.sequences(); ++s) {
    auto part = [&](const Doubles& all) {
      return forms::Matrix(T, C, {all.begin() + s * size, all.begin() + (s + 1) * size});
    };
    Doubles ours = forms::aft(W, part(k), part(v), forms::Sees::all).values();
    for (size_t i = 0; i < ours.size(); ++i) ours[i] /= 1 + std::exp(-part(q).values()[i]);
    EXPECT_LE(largest_difference(ours, part(y).values()), 1e-12);
  }
}

class GoldenWkv4 : public testing::TestWithParam<const char*> {};

TEST_P(GoldenWkv4, OutputsStatesAndGradients) {
  GoldenOperator golden(GetParam(), "k");
  Context c = golden.context();
  Var k = golden.rows("k"), v = golden.rows("v");
  const Shape shape{golden.sequences(), k.cols()};
  Var aa = golden.state("aa", shape, 0), bb = golden.state("bb", shape, 0),
      pp = golden.state("pp", shape, -1e30);
  golden.expect("y", wkv4(c, golden.weight("time_decay"), golden.weight("time_first"), k, v, {aa, bb, pp}),
                exact);
  if (golden.has("out.state_aa")) {
    golden.expect("state_aa", aa, exact);
    golden.expect("state_bb", bb, exact);
    golden.expect("state_pp", pp, exact);
  }
  if (golden.has("gout.num")) {  // num = aa e^pp, so the gradient of aa is that of num times e^pp
    for (auto [name, part] : {std::pair("num", &aa), std::pair("den", &bb)}) {
      const Doubles scale = to_host(pp.value);
      Doubles meant = to_host(part->value), gradient = golden.values(std::string("gout.") + name);
      for (size_t i = 0; i < scale.size(); ++i) {
        meant[i] *= std::exp(scale[i]);
        gradient[i] *= std::exp(scale[i]);
      }
      EXPECT_LE(largest_difference(meant, golden.values(std::string("out.") + name)), 1e-9);
      Tensor dy = c.arena.tensor(shape, Dtype::f64);
      from_host(gradient, dy);
      c.tape->seed(*part, dy);
    }
  }
  golden.expect_gradients(exact);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenWkv4, testing::Values("wkv4", "wkv4_state", "wkv4_extreme"));

// RWKV-5 has a decay per head (5.0) or per channel, RWKV-6 one per token; all have the same recurrence.
class GoldenWkv6 : public testing::TestWithParam<const char*> {};

TEST_P(GoldenWkv6, OutputsStatesAndGradients) {
  GoldenOperator golden(GetParam(), "r");
  Context c = golden.context();
  Wkv6Arguments in{.r = golden.rows("r"), .k = golden.rows("k"), .v = golden.rows("v"), .w = {}, .u = {}};
  const int64_t C = in.r.cols(), H = 2;
  in.w = golden.has("w") ? golden.rows("w") : weight_row(c, golden.weight("time_decay"), C);
  in.u = golden.has("u") ? weight_row(c, golden.weight("u"), C)
                         : weight_row(c, golden.weight("time_first"), C, true);
  Var state = golden.state("s0", {golden.sequences(), H, C / H, C / H}, 0);
  golden.expect("y", wkv6(c, H, in, state), exact);
  golden.expect("state", state, exact);
  golden.expect_gradients(exact);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenWkv6,
                         testing::Values("wkv5_0", "wkv5_2", "wkv5_2_state", "wkv6", "wkv6_state",
                                         "wkv6_extreme"));

TEST(GoldenOperators, GroupNorm) {
  GoldenOperator golden("group_norm", "x");
  Context c = golden.context();
  const HeadNorm in{.x = golden.rows("x"), .weight = golden.weight("weight"), .bias = golden.weight("bias")};
  golden.expect("y", group_norm(c, 2, in, 64e-5), exact);
  golden.expect("y_div8", group_norm(c, 2, in, 64e-5), exact);  // of x / 8 with 1e-5, which is the same
  golden.expect_gradients(exact);
}

// Transposes [.., value, key] of the originals to our [.., key, value], and back.
Doubles transposed(const Doubles& values, int64_t n) {
  Doubles turned(values.size());
  const auto size = static_cast<size_t>(n);
  for (size_t at = 0; at < values.size(); at += size * size)
    for (size_t i = 0; i < size; ++i)
      for (size_t j = 0; j < size; ++j) turned[at + i * size + j] = values[at + j * size + i];
  return turned;
}

class GoldenWkv7 : public testing::TestWithParam<const char*> {};

TEST_P(GoldenWkv7, OutputsStatesAndGradients) {
  GoldenOperator golden(GetParam(), "r");
  Context c = golden.context();
  const Doubles last = golden.values("out.state");
  const Wkv7Arguments in{golden.rows("r"), golden.rows("w"), golden.rows("k"),
                         golden.rows("v"), golden.rows("a"), golden.rows("b")};
  const int64_t C = in.r.cols(), n = static_cast<int64_t>(last.size()) / (golden.sequences() * C), H = C / n;
  Var first = c.tape->variable(c.arena.tensor({golden.sequences(), H, n, n}, Dtype::f64));
  set_zero(first.value);
  if (golden.has("s0")) from_host(transposed(golden.values("s0"), n), first.value);
  Var state = first;
  golden.expect("y", wkv7(c, H, in, state), wkv7_constant);
  EXPECT_LE(largest_difference(transposed(to_host(state.value), n), last), wkv7_constant * 10);
  Tensor dstate = c.arena.tensor(state.shape(), Dtype::f64);
  from_host(transposed(golden.values("gout.state"), n), dstate);
  c.tape->seed(state, dstate);
  golden.expect_gradients(wkv7_constant);
  if (golden.has("grad.s0")) {
    const Doubles ours = transposed(to_host(first.gradient->tensor), n);
    EXPECT_LE(largest_difference(ours, golden.values("grad.s0")), wkv7_constant * 10);
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenWkv7, testing::Values("wkv7", "wkv7_state", "wkv7_extreme"));

TEST(GoldenOperators, Rwkv7Keys) {
  GoldenOperator golden("v7_kk_pre", "k");
  Context c = golden.context();
  const int64_t heads = 2;
  auto [key, remove, replace] =
      rwkv7_keys(c, heads, golden.rows("k"), golden.weight("k_k"), golden.rows("a"), golden.weight("k_a"));
  golden.expect("k", key, exact);
  golden.expect("neg_kk", remove, exact);
  golden.expect("kka", replace, exact);
  golden.expect_gradients(exact);
}

TEST(GoldenOperators, Rwkv7Output) {
  GoldenOperator golden("v7_lnx_rkv", "x");
  Context c = golden.context();
  const Rwkv7Output in{golden.rows("x"),        golden.rows("r"),     golden.rows("k"),
                       golden.rows("v"),        golden.rows("g"),     golden.weight("r_k"),
                       golden.weight("weight"), golden.weight("bias")};
  golden.expect("y", rwkv7_output(c, 2, in), exact);
  golden.expect_gradients(exact);
}

// The loss operator includes the head; with the unit matrix as head, its input is the logits.
class GoldenLoss : public testing::TestWithParam<const char*> {};

TEST_P(GoldenLoss, ValueAndGradient) {
  GoldenOperator golden(GetParam(), "logits");
  Context c = golden.context();
  Var logits = golden.rows("logits");
  const int64_t V = logits.cols();
  Weight unit("head", {V, V}, Dtype::f64);
  for (int64_t i = 0; i < V; ++i) unit.value().as<double>()[i * V + i] = 1;
  std::vector<int32_t> targets;
  for (double target : golden.values("targets")) targets.push_back(static_cast<int32_t>(target));
  const bool wrapped = std::string(GetParam()) == "l2wrap";
  const double upstream = golden.has("gout.loss") ? golden.values("gout.loss")[0] : 1;
  const double loss = head_loss(c, logits, unit, targets, {.scale = upstream, .l2wrap = wrapped});
  EXPECT_NEAR(loss, golden.values(wrapped ? "loss" : "out.loss")[0], exact);
  golden.expect_gradients(exact);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenLoss, testing::Values("cross_entropy", "l2wrap"));

TEST(GoldenOperators, Rosa) {
  const auto file = nlohmann::json::parse(read_file(golden("ops/rosa_qkv.json"), 1 << 20));
  const auto& cases = file["cases"];
  ASSERT_FALSE(cases.empty());
  for (const auto& one : cases)
    for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
      Arena arena;
      const auto rows = static_cast<int64_t>(one["q"].size());
      const Sequences sequences = Sequences::uniform(1, rows);
      Context c{arena, sequences};
      auto column = [&](const char* name) {
        Var x{arena.tensor({rows, 1}, dtype)};
        from_host(one[name].get<Doubles>(), x.value);
        return x;
      };
      Var keys{arena.tensor({1, rows, 1}, dtype)}, values{arena.tensor({1, rows, 1}, dtype)},
          match{arena.tensor({1, rows, 1}, dtype)};
      for (const Var& part : {keys, values, match}) set_zero(part.value);
      append_history(c, column("k"), keys);
      append_history(c, column("v"), values);
      EXPECT_EQ(to_host(rosa(c, column("q"), keys, values, 0, match).value), one["y"].get<Doubles>());
    }
}

}  // namespace
}  // namespace aviary
