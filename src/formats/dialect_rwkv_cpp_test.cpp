#include <gtest/gtest.h>

#include <cmath>

#include "base/difference.h"
#include "base/random.h"
#include "checkpoints/checkpoint.h"
#include "models/run.h"
#include "support/test_bytes.h"

namespace aviary {
namespace {

const TestBinTensor emb{"emb.weight", {1, 2}, floats({1, 2})};

// ---- The converter, reimplemented: its changes to a checkpoint.

using Numbers = std::vector<double>;

struct Source {
  std::vector<int64_t> shape;
  Numbers numbers;
};

void squeeze(Source& tensor) { std::erase(tensor.shape, 1); }
void exchange_last_two(Source& tensor) {
  const size_t rank = tensor.shape.size();
  const auto rows = static_cast<size_t>(tensor.shape[rank - 2]),
             cols = static_cast<size_t>(tensor.shape[rank - 1]);
  Numbers result;
  for (size_t begin = 0; begin < tensor.numbers.size(); begin += rows * cols)
    for (size_t col = 0; col < cols; ++col)
      for (size_t row = 0; row < rows; ++row) result.push_back(tensor.numbers[begin + row * cols + col]);
  tensor.numbers = result;
  std::swap(tensor.shape[rank - 2], tensor.shape[rank - 1]);
}
template <typename Function>
void map(Source& tensor, Function function) {
  for (double& value : tensor.numbers) value = function(value);
}

void convert(const std::string& name, int version, Source& tensor) {
  if (name.find(".time_") != name.npos) squeeze(tensor);
  const bool low_rank = name.ends_with("1") || name.ends_with("2");
  if (version >= 6 && low_rank) exchange_last_two(tensor);
  if (name.ends_with("time_decay") && version == 4) map(tensor, [](double w) { return -std::exp(w); });
  if (name.ends_with("time_decay") && version == 5) {
    map(tensor, [](double w) { return std::exp(-std::exp(w)); });
    tensor.shape.push_back(1);
    if (tensor.shape.size() == 2) tensor.shape.push_back(1);
  }
  if (name.ends_with("time_decay") && version == 6) tensor.shape = {4, 4, 1};
  if (name.ends_with("time_first") && version == 5) {
    map(tensor, [](double u) { return std::exp(u); });
    tensor.shape = {tensor.shape[0], 1, 1};
  }
  if (name.ends_with("time_faaaa")) tensor.shape.push_back(1);
}

std::string converted(const TensorFile& file, int version) {
  std::vector<TestBinTensor> tensors;
  for (const TensorEntry& entry : file.tensors()) {
    Source tensor{entry.shape, to_doubles(entry)};
    convert(entry.name, version, tensor);
    tensors.push_back({entry.name, tensor.shape, floats(tensor.numbers)});
  }
  return bin_of(tensors);
}

class RwkvCppDialect : public testing::TestWithParam<std::pair<const char*, int>> {};

TEST_P(RwkvCppDialect, UndoesTheChangesOfTheConverter) {
  const auto [name, version] = GetParam();
  const TensorFile file = read_tensor_file(golden(name + "/model.safetensors"s));
  const std::vector<std::byte> bytes = exact_copy(converted(file, version));
  const TensorTable table = parse_tensors(bytes, "file");
  EXPECT_EQ(table.dialect, "rwkv.cpp");
  EXPECT_EQ(table.tensors.size(), file.tensors().size());
  for (const TensorEntry& tensor : table.tensors) {
    const TensorEntry* original = file.find(tensor.name);
    ASSERT_NE(original, nullptr) << tensor.name;
    EXPECT_EQ(tensor.shape, original->shape) << tensor.name;
    const Numbers expected = to_doubles(*original), got = to_doubles(tensor);
    for (size_t i = 0; i < expected.size(); ++i) {
      // exp(-exp(w)) close to 1 preserves few digits of w.
      const bool decay = tensor.name.ends_with("time_decay") || tensor.name.ends_with("time_first");
      const double error = decay ? 1e-6 + 0x1p-24 / std::exp(expected[i]) : 0;
      ASSERT_NEAR(got[i], expected[i], error) << tensor.name << " " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, RwkvCppDialect,
                         testing::Values(std::pair{"rwkv-v4", 4}, std::pair{"rwkv-v5.0", 5},
                                         std::pair{"rwkv-v5.2", 5}, std::pair{"rwkv-v6", 6}));

// A separate test because the six x_ become one tensor.
TEST(RwkvCppNames, SplitsAndTransposesTheTensorsOfVersion7) {
  const TensorFile file = read_tensor_file(golden("rwkv-v7/model.safetensors"));
  std::vector<TestBinTensor> tensors;
  for (const TensorEntry& entry : file.tensors()) {
    if (entry.name.find(".att.x_") != std::string::npos) continue;
    Source tensor{entry.shape, to_doubles(entry)};
    if (entry.name.find(".att.") != std::string::npos) convert(entry.name, 7, tensor);
    tensors.push_back({entry.name, tensor.shape, floats(tensor.numbers)});
  }
  for (const char* att : {"blocks.0.att.", "blocks.1.att."}) {
    std::string joined;
    for (const char* x : {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"})
      joined += floats(to_doubles(*file.find(att + std::string(x))));
    tensors.push_back({att + "x_rwkvag"s, {6, 1, file.find(att + "x_r"s)->shape[2]}, joined});
  }
  const std::vector<std::byte> bytes = exact_copy(bin_of(tensors));
  const TensorTable table = parse_tensors(bytes, "file");
  EXPECT_EQ(table.tensors.size(), file.tensors().size());
  for (const TensorEntry& tensor : table.tensors) {
    const TensorEntry* original = file.find(tensor.name);
    ASSERT_NE(original, nullptr) << tensor.name;
    EXPECT_EQ(tensor.shape, original->shape) << tensor.name;
    EXPECT_EQ(to_doubles(tensor), to_doubles(*original)) << tensor.name;
  }
}

TEST(RwkvCppNames, DecaysAtTheEndsOfTheRangeStayFinite) {
  const std::vector<std::byte> bytes =
      exact_copy(bin_of({emb,
                         {"blocks.0.att.ln_x.weight", {1}, floats({1})},
                         {"blocks.0.att.time_decay", {3, 1, 1}, floats({0, 1, 0.5})},
                         {"blocks.0.att.time_first", {1, 1, 1}, floats({0})}}));
  const TensorTable table = parse_tensors(bytes, "file");
  const Numbers decay = to_doubles(table.tensors[2]), first = to_doubles(table.tensors[3]);
  EXPECT_EQ(static_cast<float>(std::exp(-std::exp(decay[0]))), 0.0f);
  EXPECT_EQ(static_cast<float>(std::exp(-std::exp(decay[1]))), 1.0f);
  EXPECT_NEAR(std::exp(-std::exp(decay[2])), 0.5, 1e-7);
  EXPECT_LT(std::exp(first[0]), 0x1p-149);
}

TEST(RwkvCppNames, RejectsTensorsThatCannotBeTranslated) {
  const TestBinTensor v7{"blocks.0.att.k_k", {1}, floats({1})};
  auto expect_refused = [&](const std::vector<TestBinTensor>& tensors, std::string_view part) {
    std::vector<TestBinTensor> all = {emb, v7};
    all.insert(all.end(), tensors.begin(), tensors.end());
    const std::string answer = verdict(bin_of(all));
    EXPECT_EQ(answer.find("file: "), 0u) << answer;
    EXPECT_NE(answer.find(part), std::string::npos) << answer;
  };
  expect_refused({{"blocks.0.att.w1", {4}, floats({1, 2, 3, 4})}}, "'blocks.0.att.w1' has the shape [4]");
  expect_refused({{"blocks.0.att.x_rwkvag", {5, 1, 1}, floats({1, 2, 3, 4, 5})}}, "expected six rows");
  expect_refused({{"blocks.0.att.x_rwkvag", {6, 1, 1}, floats({1, 2, 3, 4, 5, 6})},
                  {"blocks.0.att.x_a", {1, 1, 1}, floats({1})}},
                 "two tensors become 'blocks.0.att.x_a'");
}

// ---- Files written by rwkv.cpp.

// Nothing if the file does not exist.
std::filesystem::path tiny(const std::string& model, const std::string& type) {
  return shared_file("models/rwkv.cpp/tiny-rwkv-" + model + "-" + type + ".bin");
}

// The logits of rwkv.cpp after three bytes, from a zero state.
std::vector<float> expected_logits(const std::string& model) {
  const std::string bytes = read_file(shared_file("models/rwkv.cpp/expected-logits-" + model + ".bin"), 1024);
  std::vector<float> logits(256);
  std::memcpy(logits.data(), bytes.data(), bytes.size());
  return logits;
}
// The trainer of RWKV-5 divides by 8 before its group norm, rwkv.cpp does not, and both use 1e-5 there.
// Multiplying receptance by 8 makes our norm (that of the trainer) equal to that of rwkv.cpp.
void norm_like_rwkv_cpp(Model& model) {
  if (model.config().version != "rwkv5.2") return;
  for (Parameter& parameter : model.parameters()) {
    if (!parameter.spec.name.ends_with(".att.receptance.weight")) continue;
    Numbers numbers = to_host(parameter.weight.value());
    for (double& x : numbers) x *= 8;
    from_host(numbers, parameter.weight.value());
  }
  model.parameters().changed();
}

double difference_of_logits(Model& model, const std::vector<float>& expected) {
  norm_like_rwkv_cpp(model);
  Runner runner(model);
  State state = runner.new_state();
  const std::vector<int32_t> tokens = {34, 105, 110};
  const Numbers logits = to_host(runner.last_logits(tokens, Sequences::uniform(1, 3), state));
  return largest_difference(logits, {expected.begin(), expected.end()});
}

// The distance between neighboring numbers of the type, at number i of `exact`.
double step_at(Dtype type, const Numbers& exact, size_t i) {
  if (type == Dtype::f16) return std::abs(exact[i]) * 0x1p-10;  // at most
  const auto block = exact.begin() + static_cast<int64_t>(i / 32 * 32);
  const auto [least, most] = std::minmax_element(block, block + 32);
  if (type == Dtype::q5_0) return std::max(-*least, *most) / 16;
  return (*most - *least) / 31;  // q5_1
}

// The effect of a type on the logits follows from its step size: rounding a number causes an error between
// -1/2 and 1/2 step. Adds such errors, drawn at random, to the tensors of `exact` that have another type in
// `rounded`.
std::unique_ptr<Model> with_random_errors(const std::filesystem::path& exact, const TensorFile& rounded,
                                          uint64_t seed) {
  std::unique_ptr<Model> model = load_checkpoint(exact).model;
  Random random(seed);
  for (Parameter& parameter : model->parameters()) {
    const TensorEntry* tensor = rounded.find(parameter.spec.name);
    if (!tensor || tensor->dtype == Dtype::f32) continue;
    const Numbers before = to_host(parameter.weight.value());
    Numbers after = before;
    for (size_t i = 0; i < after.size(); ++i)
      after[i] += random.uniform(-0.5, 0.5) * step_at(tensor->dtype, before, i);
    from_host(after, parameter.weight.value());
  }
  model->parameters().changed();
  return model;
}

struct Tolerance {
  const char *model, *type;
  double logits;  // the largest difference caused by 8 draws of random errors
};
const Tolerance tolerances[] = {
    // and the difference of the file itself
    {"4v0-660K", "FP16", 0.0060},   // 0.0016
    {"4v0-660K", "Q5_0", 0.29},     // 0.12
    {"4v0-660K", "Q5_1", 0.22},     // 0.096
    {"5v2-730K", "FP16", 0.0053},   // 0.0025
    {"5v2-730K", "Q5_0", 1.48},     // 0.51
    {"5v2-730K", "Q5_1", 1.49},     // 0.37
    {"7v0-834K", "FP16", 0.00062},  // 0.0000013: most bfloat16 weights are exact in float16
    {"7v0-834K", "Q5_0", 0.012},    // 0.0037
    {"7v0-834K", "Q5_1", 0.011},    // 0.0042
};

class RwkvCppFiles : public testing::Test {
 protected:
  void SetUp() override {
    if (tiny("4v0-660K", "FP32").empty())
      GTEST_SKIP() << "set AVIARY_SHARED to a folder that has models/rwkv.cpp";
  }
};

TEST_F(RwkvCppFiles, OfFloatsGiveTheLogitsOfRwkvCpp) {
  for (const std::string model : {"4v0-660K", "5v2-730K", "7v0-834K"}) {
    const Checkpoint checkpoint = load_checkpoint(tiny(model, "FP32"));
    EXPECT_LE(difference_of_logits(*checkpoint.model, expected_logits(model)), 1e-4) << model;
  }
}

TEST_F(RwkvCppFiles, OfSmallerTypesGiveTheLogitsWithinTheErrorOfTheType) {
  for (const Tolerance& row : tolerances) {
    const Checkpoint checkpoint = load_checkpoint(tiny(row.model, row.type));
    const std::vector<float> expected = expected_logits(row.model);
    EXPECT_LE(difference_of_logits(*checkpoint.model, expected), row.logits) << row.model << " " << row.type;
    const TensorFile rounded = read_tensor_file(tiny(row.model, row.type));
    double predicted = 0;
    for (uint64_t seed = 1; seed <= 8; ++seed) {
      auto model = with_random_errors(tiny(row.model, "FP32"), rounded, seed);
      predicted = std::max(predicted, difference_of_logits(*model, expected));
    }
    EXPECT_NEAR(row.logits, predicted, 0.06 * predicted) << row.model << " " << row.type;
  }
}

// In steps: a half from rounding; a whole one at the end of the range of Q5_0, which has -16 but not 16; and
// the rounding of the scale and the offset of a block to float16.
double largest_error(Dtype type) {
  if (type == Dtype::f16) return 0.5;
  return type == Dtype::q5_0 ? 1 + 16 * 0x1p-11 : 0.5 + 2 * 31 * 0x1p-11;
}

TEST_F(RwkvCppFiles, OfSmallerTypesHaveTheNumbersWithinAStep) {
  constexpr double smallest = 32 * 0x1p-25;  // a scale below the range of float16
  for (const std::string model : {"4v0-660K", "5v2-730K", "7v0-834K"})
    for (const std::string type : {"FP16", "Q5_0", "Q5_1"}) {
      const TensorFile exact = read_tensor_file(tiny(model, "FP32")),
                       rounded = read_tensor_file(tiny(model, type));
      ASSERT_EQ(exact.tensors().size(), rounded.tensors().size());
      int64_t smaller = 0;
      for (const TensorEntry& tensor : rounded.tensors()) {
        ASSERT_NE(exact.find(tensor.name), nullptr) << tensor.name;
        const Numbers want = to_doubles(*exact.find(tensor.name)), got = to_doubles(tensor);
        ASSERT_EQ(want.size(), got.size()) << tensor.name;
        if (tensor.dtype != Dtype::f32) ++smaller;
        for (size_t i = 0; i < want.size(); ++i) {
          const double error = tensor.dtype == Dtype::f32
                                   ? 0
                                   : largest_error(tensor.dtype) * step_at(tensor.dtype, want, i) + smallest;
          ASSERT_NEAR(got[i], want[i], error) << model << " " << type << " " << tensor.name << " " << i;
        }
      }
      EXPECT_GT(smaller, 20) << model << " " << type;
    }
}

}  // namespace
}  // namespace aviary
