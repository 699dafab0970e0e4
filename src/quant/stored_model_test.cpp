// Every version computes with stored weights what it computes with their decoded numbers.
#include "quant/stored_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "base/threads.h"
#include "models/registry.h"
#include "models/run.h"
#include "numbers/encoding.h"
#include "quant/plan.h"
#include "support/test_versions.h"

namespace aviary {
namespace {

constexpr int64_t rows = 24;

std::unique_ptr<Model> small_model(const ModelVersion& version) {
  ModelConfig config{.version = version.name, .n_layer = 2, .n_embd = 256, .vocab_size = 300, .ctx_len = 64};
  std::unique_ptr<Model> model = create_model(complete(config));
  Random random(6);
  for (Parameter& parameter : model->parameters()) {  // no zero matrices, with which some start
    const Tensor& value = parameter.weight.value();
    if (value.shape().rank() < 2 || value.rows() == 1) {
      parameter.spec.initialize(random, value);
      continue;
    }
    const double size = 0.7 / std::sqrt(static_cast<double>(value.cols()));
    for (int64_t i = 0; i < value.count(); ++i)
      value.as<float>()[i] = static_cast<float>(size * random.normal());
  }
  return model;
}

std::vector<int32_t> some_tokens() {
  Random random(8);
  std::vector<int32_t> tokens(rows);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random.below(300));
  return tokens;
}

// The logits when the text is read in pieces of `piece` tokens.
std::vector<double> logits(Model& model, int64_t piece = rows, int64_t copies = 1) {
  Runner runner(model, usual_precision(model));
  std::vector<State> states = runner.new_states(copies);
  const std::vector<int32_t> tokens = some_tokens();
  std::vector<double> all;
  for (int64_t begin = 0; begin < rows; begin += piece) {
    const int64_t count = std::min(piece, rows - begin);
    std::vector<int32_t> part;
    for (int64_t i = 0; i < copies; ++i)
      part.insert(part.end(), tokens.begin() + begin, tokens.begin() + begin + count);
    const Tensor result = runner.all_logits(part, Sequences::uniform(copies, count), states);
    const std::vector<double> values = to_host(result);
    all.insert(all.end(), values.begin(), values.begin() + count * result.cols());
  }
  return all;
}

// |a - b| / |b|, root mean square.
double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double lost = 0, whole = 0;
  for (size_t i = 0; i < a.size(); ++i) lost += (a[i] - b[i]) * (a[i] - b[i]), whole += b[i] * b[i];
  return std::sqrt(lost / whole);
}

// The allowed difference of the logits of a type from those of F32 (docs/formats.md).
double tolerance(Dtype type) {
  switch (type) {
    case Dtype::f32:
      return 1e-6;
    case Dtype::f16:
      return 0.004;
    case Dtype::bf16:
      return 0.03;
    case Dtype::q8_0:
      return 0.05;
    case Dtype::q6_k:
      return 0.10;
    case Dtype::q5_k:
    case Dtype::q5_1:
    case Dtype::q5_0:
      return 0.20;
    default:
      return 0.40;
  }
}

class StoredModel : public testing::TestWithParam<std::string> {
 protected:
  static std::unique_ptr<Model> model() { return small_model(model_version(GetParam())); }
};

TEST_P(StoredModel, LogitsOfEveryTypeAreCloseToThoseOfF32) {
  if (GetParam() == "rwkv8-rosa") GTEST_SKIP() << "the signs of its numbers are its symbols";
  const std::vector<double> exact = logits(*model());
  for (Dtype type : weight_types) {
    const std::unique_ptr<Model> stored = model();
    store_matrices(*stored, type);
    const double lost = difference(logits(*stored), exact);
    EXPECT_LE(lost, tolerance(type)) << name_of(type);
    RecordProperty(std::string(name_of(type)), std::to_string(lost));
  }
}

TEST_P(StoredModel, NeitherPiecesNorBatchesNorThreadsChangeABit) {
  for (Dtype type : {Dtype::q8_0, Dtype::q4_k, Dtype::f16}) {
    const std::unique_ptr<Model> stored = model();
    store_matrices(*stored, type);
    const std::vector<double> whole = logits(*stored);
    EXPECT_EQ(logits(*stored, rows, 3), whole) << name_of(type) << " in company";
    // A sum that differs in the last bit may round an activation to the neighboring 8-bit value.
    EXPECT_LE(difference(logits(*stored, 7), whole), is_quantized(type) ? 0.02 : 1e-4)
        << name_of(type) << " in pieces";
    const int before = threads();
    set_threads(before == 1 ? 2 : 1);
    EXPECT_EQ(logits(*stored), whole) << name_of(type) << " with other threads";
    set_threads(before);
  }
}

// The gradients of the vectors, the only trainable parameters, pass through the stored matrices.
TEST_P(StoredModel, PassesGradientsToItsVectors) {
  if (GetParam() == "rwkv8-rosa") GTEST_SKIP() << "the signs of its numbers are its symbols";
  const std::unique_ptr<Model> stored = model(), decoded = model();
  for (Parameter& parameter : decoded->parameters()) {  // numbers that are exact in f16
    const TensorEntry entry = describe(parameter.spec);
    if (!is_matrix(entry)) continue;
    const Tensor& value = parameter.weight.value();
    const Dtype type = planned_type(entry, Dtype::f16);
    const std::span<float> numbers(value.as<float>(), static_cast<size_t>(value.count()));
    std::vector<std::byte> bytes(static_cast<size_t>(bytes_of(type, value.count())));
    encode(numbers, type, bytes.data());
    decode(type, bytes.data(), numbers);
  }
  store_matrices(*stored, Dtype::f16);
  const std::vector<int32_t> tokens = some_tokens();
  const Sequences sequences = Sequences::uniform(1, rows);
  for (Model* model : {stored.get(), decoded.get()}) {
    model->parameters().set_trainable(true);
    Runner runner(*model, kernels::Precision::f32);
    State state = runner.new_state();
    runner.loss_and_gradients(tokens, tokens, sequences, state, {});
  }
  int compared = 0;
  for (const Parameter& parameter : stored->parameters()) {
    EXPECT_EQ(parameter.weight.trainable(), parameter.weight.changeable() && !parameter.spec.constant);
    if (!parameter.weight.trainable()) continue;
    const std::vector<double> expected =
        to_host(decoded->parameters().find(parameter.spec.name)->weight.gradient());
    double scale = 1e-4;
    for (double value : expected) scale = std::max(scale, std::abs(value));
    const std::vector<double> ours = to_host(parameter.weight.gradient());
    for (size_t i = 0; i < ours.size(); ++i)
      ASSERT_NEAR(ours[i], expected[i], 2e-3 * scale) << parameter.spec.name << " at " << i;
    ++compared;
  }
  EXPECT_GT(compared, 0);
}

TEST(UsualPrecision, IsBfloat16IfTheOtherWeightsAreNotMorePrecise) {
  const kernels::Precision bf16 = kernels::Precision::bf16, f32 = kernels::Precision::f32;
  for (const auto& [type, expected] : {std::pair{Dtype::f32, f32}, std::pair{Dtype::f16, f32},
                                       std::pair{Dtype::bf16, bf16}, std::pair{Dtype::q4_0, bf16}}) {
    const std::unique_ptr<Model> model = small_model(model_version("rwkv7"));
    store_matrices(*model, type);
    EXPECT_EQ(usual_precision(*model), expected) << name_of(type);
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, StoredModel, testing::ValuesIn(version_names()), test_name);

}  // namespace
}  // namespace aviary
