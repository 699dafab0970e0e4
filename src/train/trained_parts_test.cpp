#include "train/trained_parts.h"

#include <cmath>

#include "base/difference.h"
#include "base/error.h"
#include "numbers/encoding.h"
#include "support/test_versions.h"
#include "train/long_pass.h"
#include "train/optimizer.h"
#include "train/principal.h"

namespace aviary {
namespace {

TrainConfig tuning(TuneMethod method) {
  TrainConfig config;
  config.tuning.base = "base";
  config.tuning.method = method;
  config.tuning.rank = 4;
  config.tuning.alpha = 8;
  return config;
}

Batch two_documents() {
  Batch batch;
  Random random(5);
  for (int64_t length : {9, 5}) batch.sequences.append(length);
  batch.fresh.assign(2, true);
  for (int64_t row = 0; row < 14; ++row) {
    batch.tokens.push_back(static_cast<int32_t>(random.below(30)));
    batch.targets.push_back(row % 4 == 1 ? -1 : static_cast<int32_t>(random.below(30)));
  }
  return batch;
}

std::unique_ptr<Model> double_model(const std::string& version) {
  return noisy_double_model(
      {.version = version, .n_layer = 2, .n_embd = 32, .vocab_size = 30, .ctx_len = 16});
}

void add(const std::vector<TrainedWeight>& weights, const std::vector<std::vector<double>>& direction,
         double factor) {
  for (size_t i = 0; i < weights.size(); ++i) {
    std::vector<double> values = to_host(weights[i].weight->value());
    for (size_t k = 0; k < values.size(); ++k) values[k] += factor * direction[i][k];
    from_host(values, weights[i].weight->value());
    weights[i].weight->changed();
  }
}

// The loss and its gradient by what is trained.
struct Pass {
  Runner runner;
  TrainedParts parts;
  Optimizer optimizer;
  Batch batch = two_documents();

  Pass(Model& model, const TrainConfig& config, kernels::Precision precision = kernels::Precision::f32)
      : runner(model, precision), parts(model, config), optimizer(model, parts.groups(), 0) {}

  std::vector<State> states() {
    std::vector<State> states = runner.new_states(2);
    for (State& state : states) parts.begin(state);
    return states;
  }
  double loss() {
    std::vector<State> begun = states();
    return runner.loss(batch.tokens, batch.targets, batch.sequences, begun);
  }
  std::vector<std::vector<double>> gradients(int64_t chunk = 0) {
    optimizer.forget_gradients();
    std::vector<State> begun = states();
    const Runner::Training training{.loss = {}, .first_state = parts.has_first_state()};
    if (chunk > 0)
      long_loss_and_gradients(runner, batch, begun, training, {.chunk = chunk});
    else
      runner.loss_and_gradients(batch.tokens, batch.targets, batch.sequences, begun, training);
    parts.add_state_gradients(runner, batch.fresh);
    std::vector<std::vector<double>> result;
    for (const TrainedWeight& trained : optimizer.weights())
      result.push_back(to_host(trained.weight->gradient()));
    return result;
  }
  // Moves what is trained away from the start, at which B is 0.
  void stir(double by = 0.1) {
    Random random(11);
    std::vector<std::vector<double>> noise;
    for (const TrainedWeight& trained : optimizer.weights()) {
      std::vector<double>& values = noise.emplace_back(static_cast<size_t>(trained.spec->shape.count()));
      const bool positive = trained.spec->name.ends_with("bb");
      for (double& value : values) value = by * (positive ? std::abs(random.normal()) : random.normal());
    }
    add(optimizer.weights(), noise, 1);
  }
};

bool has_tunable_state(const std::string& version) {
  return version == "rwkv4" || version.starts_with("rwkv5") || version.starts_with("rwkv6") ||
         version.starts_with("rwkv7") || version.starts_with("rwkv8");
}

class TunedBy : public testing::TestWithParam<std::tuple<std::string, TuneMethod>> {
 protected:
  std::string version() const { return std::get<0>(GetParam()); }
  TuneMethod method() const { return std::get<1>(GetParam()); }
};

// The gradient law: (L(p + h d) - L(p - h d)) / 2h = dL/dp . d for random directions d, in double precision.
TEST_P(TunedBy, HasTheGradientOfItsLoss) {
  auto model = double_model(version());
  if (method() == TuneMethod::state && !has_tunable_state(version())) {
    EXPECT_THROW(TrainedParts(*model, tuning(method())), Error);
    return;
  }
  std::unique_ptr<Pass> pass;
  try {
    pass = std::make_unique<Pass>(*model, tuning(method()));
  } catch (const Error& error) {  // no matrix with outputs in rows, no recurrent state: said so
    EXPECT_NE(std::string(error.what()).find("--method"), std::string::npos) << error.what();
    GTEST_SKIP() << error.what();
  }
  pass->stir();
  const std::vector<TrainedWeight> weights = pass->optimizer.weights();
  const auto gradients = pass->gradients();
  Random random(3);
  for (size_t i = 0; i < weights.size(); ++i) {
    std::vector<std::vector<double>> direction;
    for (const TrainedWeight& trained : weights)
      direction.emplace_back(static_cast<size_t>(trained.spec->shape.count()));
    double expected = 0, size = 0;
    for (size_t k = 0; k < direction[i].size(); ++k) {
      direction[i][k] = random.normal();
      expected += direction[i][k] * gradients[i][k];
      size += gradients[i][k] * gradients[i][k];
    }
    constexpr double h = 1e-6;
    add(weights, direction, h);
    const double above = pass->loss();
    add(weights, direction, -2 * h);
    const double below = pass->loss();
    add(weights, direction, h);
    EXPECT_NEAR((above - below) / (2 * h), expected, 1e-6 * std::sqrt(size) + 1e-8) << weights[i].spec->name;
  }
}

TEST_P(TunedBy, HasTheSameGradientInChunks) {
  auto model = double_model(version());
  if (Runner(*model).new_state().layout().has_histories()) GTEST_SKIP() << "the state grows with the text";
  std::unique_ptr<Pass> pass;
  try {
    pass = std::make_unique<Pass>(*model, tuning(method()));
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  pass->stir();
  const auto whole = pass->gradients(), chunked = pass->gradients(4);
  for (size_t i = 0; i < whole.size(); ++i) {
    double scale = 1e-12;
    for (double value : whole[i]) scale = larger(scale, std::abs(value));
    EXPECT_LE(largest_difference(chunked[i], whole[i]), 1e-9 * scale) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, TunedBy,
                         testing::Combine(testing::ValuesIn(version_names()),
                                          testing::Values(TuneMethod::lora, TuneMethod::pissa,
                                                          TuneMethod::miss, TuneMethod::state)),
                         [](const auto& info) {
                           std::string name =
                               std::get<0>(info.param) + "_" + name_of(std::get<1>(info.param));
                           std::replace_if(
                               name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); },
                               '_');
                           return name;
                         });

// The matrices of a base in this type, stored and packed, beside float32 numbers that are equal.
std::pair<std::unique_ptr<Model>, std::unique_ptr<Model>> stored_and_values(Dtype type,
                                                                            kernels::Precision precision) {
  // Numbers of a usual size: rounding must not decide what the model computes.
  auto make = [] {
    auto model = create_model(complete({.version = "rwkv7", .n_layer = 2, .n_embd = 256, .vocab_size = 64}));
    model->parameters().initialize(1);
    Random random(3);
    for (Parameter& parameter : model->parameters()) {
      const Tensor& value = parameter.weight.value();
      for (int64_t i = 0; i < value.count(); ++i)
        value.as<float>()[i] += static_cast<float>(0.02 * random.normal());
    }
    model->parameters().changed();
    return model;
  };
  auto stored = make(), values = make();
  for (Parameter& parameter : stored->parameters()) {
    if (parameter.spec.use != Use::out_in) continue;
    const Tensor numbers = parameter.weight.value();
    const auto count = static_cast<size_t>(numbers.count());
    const auto bytes =
        std::make_shared<std::vector<std::byte>>(static_cast<size_t>(bytes_of(type, numbers.count())));
    encode(std::span(numbers.as<float>(), count), type, bytes->data());
    Weight& same = values->parameters().find(parameter.spec.name)->weight;
    decode(type, bytes->data(), {same.value().as<float>(), count});
    same.changed();
    parameter.weight.store({type, *bytes, bytes});
  }
  stored->parameters().pack(precision);
  return {std::move(stored), std::move(values)};
}

class TunedBase : public testing::TestWithParam<Dtype> {};

TEST_P(TunedBase, GivesAdaptersAndStatesTheGradientOfItsNumbers) {
  // Products with bf16 numbers round x as well. Those with a quantized base round x to bytes, those of its
  // gradients do not.
  const auto precision = GetParam() == Dtype::bf16 ? kernels::Precision::bf16 : kernels::Precision::f32;
  const double tolerance = is_quantized(GetParam()) ? 0.1 : 1e-4;
  for (TuneMethod method : {TuneMethod::lora, TuneMethod::miss, TuneMethod::state}) {
    auto [stored, values] = stored_and_values(GetParam(), precision);
    Pass of_stored(*stored, tuning(method), precision), of_values(*values, tuning(method), precision);
    of_stored.stir(0.01);
    of_values.stir(0.01);
    const auto a = of_stored.gradients(), b = of_values.gradients();
    ASSERT_EQ(a.size(), b.size());
    double difference = 0,
           size = 0;  // of the whole gradient: some parts of it are differences of larger ones
    for (size_t i = 0; i < a.size(); ++i)
      for (size_t k = 0; k < a[i].size(); ++k) {
        difference += (a[i][k] - b[i][k]) * (a[i][k] - b[i][k]);
        size += b[i][k] * b[i][k];
      }
    EXPECT_LE(std::sqrt(difference), tolerance * std::sqrt(size)) << name_of(method);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, TunedBase, testing::Values(Dtype::bf16, Dtype::f16, Dtype::q8_0, Dtype::q4_k),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST(TrainedParts, BeginAsTheBaseItself) {
  for (TuneMethod method : {TuneMethod::lora, TuneMethod::pissa, TuneMethod::miss, TuneMethod::state})
    for (const std::string version : {"rwkv4", "rwkv6", "rwkv7"}) {
      auto plain = double_model(version), tuned = double_model(version);
      Pass one(*plain, tuning(TuneMethod::full)), other(*tuned, tuning(method));
      EXPECT_NEAR(one.loss(), other.loss(), 1e-12) << version << " " << name_of(method);
    }
}

TEST(TrainedParts, OfPissaBeginWithTheLargestSingularValues) {
  auto model = double_model("rwkv7");
  Weight& weight = model->parameters().find("blocks.0.ffn.key.weight")->weight;
  const PrincipalPart part = principal_part(weight, 32, kernels::Precision::f32, Random(1));  // its full rank
  const int64_t out = weight.shape()[0], in = weight.shape()[1];
  const std::vector<double> w = to_host(weight.value()), a = to_host(part.a.view()),
                            b = to_host(part.b.view());
  double error = 0, previous = 1e300;
  for (int64_t o = 0; o < out; ++o)
    for (int64_t i = 0; i < in; ++i) {
      double sum = 0;
      for (int64_t r = 0; r < 32; ++r)
        sum += b[static_cast<size_t>(o * 32 + r)] * a[static_cast<size_t>(r * in + i)];
      error = larger(error, std::abs(sum - w[static_cast<size_t>(o * in + i)]));
    }
  EXPECT_LE(error, 1e-9);
  for (int64_t r = 0; r < 32; ++r) {  // the rows of A have the lengths sqrt(S), falling
    double square = 0;
    for (int64_t i = 0; i < in; ++i) square += std::pow(a[static_cast<size_t>(r * in + i)], 2);
    EXPECT_LE(square, previous * (1 + 1e-9)) << r;
    previous = square;
  }
}

TEST(TrainedParts, AreChosenByNamesAndLayers) {
  auto model = double_model("rwkv7");
  TrainConfig config = tuning(TuneMethod::lora);
  config.tuning.targets = "att.key,ffn";
  config.tuning.layers = "1";
  config.tuning.parts = "blocks.1.ln";
  TrainedParts parts(*model, config);
  std::vector<std::string> names;
  for (const AdapterMatrix& matrix : parts.matrices()) names.push_back(matrix.name);
  EXPECT_EQ(names, (std::vector<std::string>{"blocks.1.att.key.weight", "blocks.1.ffn.key.weight",
                                             "blocks.1.ffn.value.weight"}));
  EXPECT_EQ(parts.parameters().size(), 4u);  // weight and bias of ln1 and ln2
}

TEST(TrainedParts, APatternThatFitsNothingIsRefusedByItsFlag) {
  auto message = [](auto change) {
    auto model = double_model("rwkv7");
    TrainConfig config = tuning(TuneMethod::lora);
    change(config.tuning);
    try {
      TrainedParts parts(*model, config);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(message([](Tuning& t) { t.targets = "att.kye"; }).find("--targets att.kye"), std::string::npos);
  EXPECT_NE(message([](Tuning& t) { t.parts = "nothing"; }).find("--train nothing"), std::string::npos);
  EXPECT_NE(message([](Tuning& t) { t.layers = "1-7"; }).find("--layers 1-7"), std::string::npos);
  EXPECT_NE(message([](Tuning& t) { t.layers = "x"; }).find("--layers x"), std::string::npos);
  EXPECT_NE(message([](Tuning& t) { t.rank = 64; }).find("--rank is 64"), std::string::npos);
}

}  // namespace
}  // namespace aviary
