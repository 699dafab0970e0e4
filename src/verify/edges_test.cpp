// Every registered version in extreme cases: long texts, huge and tiny weights. Nothing becomes NaN, and
// float32 stays close to double precision.
#include <gtest/gtest.h>

#include <cmath>

#include "base/difference.h"
#include "models/registry.h"
#include "models/run.h"

namespace aviary {
namespace {

bool has_finite_state(const Model& model) {
  for (const StateSpec& spec : model.state_specs())
    if (spec.kind == StateKind::history) return false;
  return model.context_limit() == 0;
}

class Edges : public testing::TestWithParam<const ModelVersion*> {
 protected:
  std::unique_ptr<Model> model(Dtype dtype) const {
    auto model = create_model(
        {.version = GetParam()->name, .n_layer = 2, .n_embd = 32, .vocab_size = 17, .ctx_len = 64}, dtype);
    model->parameters().initialize(1);
    Random random(2);
    for (Parameter& parameter : model->parameters())
      change(parameter, [&](double x) { return static_cast<float>(x + 0.05 * random.normal()); });
    return model;
  }

  template <typename Change>
  static void change(Parameter& parameter, Change change) {
    std::vector<double> values = to_host(parameter.weight.value());
    for (double& value : values) value = change(value);
    from_host(values, parameter.weight.value());
    parameter.weight.changed();
  }
};
class EdgesLong : public Edges {};

std::vector<int32_t> tokens_of(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) tokens.push_back(static_cast<int32_t>(random.below(17)));
  return tokens;
}

std::vector<double> last_logits(Runner& runner, std::span<const int32_t> tokens, State& state) {
  return to_host(runner.last_logits(tokens, Sequences::uniform(1, std::ssize(tokens)), state));
}

double largest_of(const std::vector<double>& values) {
  double largest = 1;
  for (double value : values) largest = larger(largest, std::abs(value));
  return largest;
}

// A drift would grow with the text; the bound holds at its end as well as at its beginning.
TEST_P(EdgesLong, AHundredThousandTokensDoNotDriftFromDoublePrecision) {
  auto exact = model(Dtype::f64), fast = model(Dtype::f32);
  if (!has_finite_state(*exact)) GTEST_SKIP() << "its state grows with the text";
  Runner exact_runner(*exact), fast_runner(*fast);
  State exact_state = exact_runner.new_state(), fast_state = fast_runner.new_state();
  constexpr int64_t chunk = 2000;
  for (int64_t begin = 0; begin < 100'000; begin += chunk) {
    const std::vector<int32_t> tokens = tokens_of(chunk, static_cast<uint64_t>(begin));
    const std::vector<double> expected = last_logits(exact_runner, tokens, exact_state),
                              ours = last_logits(fast_runner, tokens, fast_state);
    ASSERT_LE(largest_difference(ours, expected), 1e-3 * largest_of(expected)) << "after " << begin + chunk;
  }
}

// Keys, decays and all other parameters far outside the range that training gives.
TEST_P(Edges, HugeWeightsDoNotGiveNaN) {
  for (double factor : {60.0, 200.0})
    for (const char* part : {"key", "decay", "receptance", "value", "w0", "a0", "k_k"})
      for (double sign : {1.0, -1.0}) {
        auto exact = model(Dtype::f64), fast = model(Dtype::f32);
        for (Model* model : {exact.get(), fast.get()})
          for (Parameter& parameter : model->parameters())
            if (parameter.spec.name.find(part) != std::string::npos)
              change(parameter,
                     [&](double x) { return static_cast<float>(sign * factor * (x < 0 ? -1 : 1)); });
        for (int64_t length : {1, 2, 40}) {
          Runner exact_runner(*exact), fast_runner(*fast);
          State exact_state = exact_runner.new_state(), fast_state = fast_runner.new_state();
          const std::vector<int32_t> tokens = tokens_of(length, 3);
          const std::vector<double> expected = last_logits(exact_runner, tokens, exact_state),
                                    ours = last_logits(fast_runner, tokens, fast_state);
          for (double logit : ours)
            ASSERT_TRUE(std::isfinite(logit)) << part << " " << sign * factor << ", " << length << " tokens";
          for (double logit : expected)
            ASSERT_TRUE(std::isfinite(logit)) << part << " " << sign * factor << " in double";
        }
      }
}

std::string name_of_version(const testing::TestParamInfo<const ModelVersion*>& info) {
  std::string name = info.param->name;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Registry, Edges, testing::ValuesIn(model_versions()), name_of_version);
INSTANTIATE_TEST_SUITE_P(Registry, EdgesLong, testing::ValuesIn(model_versions()), name_of_version);

}  // namespace
}  // namespace aviary
