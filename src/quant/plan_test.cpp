#include "quant/plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/random.h"
#include "numbers/encoding.h"
#include "quant/report.h"

namespace aviary {
namespace {

using Numbers = std::vector<float>;

Numbers normal_numbers(size_t count, uint64_t seed = 1) {
  Random random(seed);
  Numbers numbers(count);
  for (float& number : numbers) number = static_cast<float>(random.normal());
  return numbers;
}

// Tensors in memory as if they had been read from a file.
struct Tensors {
  TensorTable table;

  Tensors& add(const std::string& name, std::vector<int64_t> shape, const Numbers& numbers,
               Dtype dtype = Dtype::f32) {
    const std::span<std::byte> bytes =
        table.new_buffer(static_cast<size_t>(bytes_of(dtype, std::ssize(numbers))));
    encode(numbers, dtype, bytes.data());
    table.tensors.push_back({name, dtype, std::move(shape), bytes});
    return *this;
  }
  TensorFile file() { return {std::vector<MappedFile>(), std::move(table)}; }
};

const PlannedTensor& planned(const QuantizationPlan& plan, const std::string& name) {
  for (const PlannedTensor& tensor : plan.tensors)
    if (tensor.stored.source.name == name) return tensor;
  throw std::runtime_error("no tensor " + name);
}
Dtype type_of(const QuantizationPlan& plan, const std::string& name) {
  return planned(plan, name).stored.type;
}

TEST(Quantize, OnlyMatricesGetTheRequestedType) {
  const TensorFile file = Tensors()
                              .add("blocks.0.att.key.weight", {8, 64}, normal_numbers(512))
                              .add("blocks.0.ln1.weight", {64}, normal_numbers(64))
                              .add("blocks.0.att.w1", {64, 64}, normal_numbers(4096))
                              .add("blocks.0.att.x_r", {1, 1, 64}, normal_numbers(64))
                              .add("blocks.0.att.w2", {64, 64}, normal_numbers(4096), Dtype::bf16)
                              .add("blocks.0.att.time_decay", {8, 64}, normal_numbers(512), Dtype::f64)
                              .file();
  const QuantizationPlan plan = plan_types(file, Dtype::q4_0);
  EXPECT_EQ(type_of(plan, "blocks.0.att.key.weight"), Dtype::q4_0);
  EXPECT_EQ(type_of(plan, "blocks.0.ln1.weight"), Dtype::f32);
  EXPECT_EQ(type_of(plan, "blocks.0.att.w1"), Dtype::f32);
  EXPECT_EQ(type_of(plan, "blocks.0.att.x_r"), Dtype::f32);
  EXPECT_EQ(type_of(plan, "blocks.0.att.w2"), Dtype::bf16);
  EXPECT_EQ(type_of(plan, "blocks.0.att.time_decay"), Dtype::f32);
  EXPECT_EQ(plan.bytes(), 512 / 32 * 18 + 4 * (64 + 4096 + 64 + 512) + 2 * 4096);
  EXPECT_EQ(plan.stored().size(), 6u);
}

TEST(Quantize, AxesOfSizeOneAreIgnored) {
  const TensorFile file = Tensors()
                              .add("a.weight", {1, 64, 64}, normal_numbers(4096))
                              .add("b.weight", {64, 1}, normal_numbers(64))
                              .add("c.weight", {64, 64, 1}, normal_numbers(4096))
                              .file();
  const QuantizationPlan plan = plan_types(file, Dtype::q8_0);
  EXPECT_EQ(type_of(plan, "a.weight"), Dtype::q8_0);
  EXPECT_EQ(type_of(plan, "b.weight"), Dtype::f32);
  EXPECT_EQ(type_of(plan, "c.weight"), Dtype::f16);  // rows of one number
}

TEST(Quantize, RowsThatAreNotWholeBlocksGetSmallerBlocksOrF16) {
  const TensorFile file = Tensors()
                              .add("a.weight", {8, 512}, normal_numbers(4096))
                              .add("b.weight", {8, 96}, normal_numbers(768))
                              .add("c.weight", {8, 40}, normal_numbers(320))
                              .add("d.weight", {8, 40}, normal_numbers(320), Dtype::bf16)
                              .file();
  const std::vector<std::vector<Dtype>> expected = {
      {Dtype::q4_k, Dtype::q4_k, Dtype::q4_0}, {Dtype::q5_k, Dtype::q5_k, Dtype::q5_0},
      {Dtype::q6_k, Dtype::q6_k, Dtype::q8_0}, {Dtype::q4_0, Dtype::q4_0, Dtype::q4_0},
      {Dtype::q5_1, Dtype::q5_1, Dtype::q5_1}, {Dtype::q8_0, Dtype::q8_0, Dtype::q8_0}};
  for (const auto& types : expected) {
    const QuantizationPlan plan = plan_types(file, types[0]);
    EXPECT_EQ(type_of(plan, "a.weight"), types[1]) << name_of(types[0]);
    EXPECT_EQ(type_of(plan, "b.weight"), types[2]) << name_of(types[0]);
    EXPECT_EQ(type_of(plan, "c.weight"), Dtype::f16) << name_of(types[0]);
    EXPECT_EQ(type_of(plan, "d.weight"), Dtype::bf16) << name_of(types[0]);
    EXPECT_EQ(planned(plan, "c.weight").reason, "rows of 40 numbers are not a multiple of the block size");
    EXPECT_EQ(planned(plan, "d.weight").error.rms, 0);
    EXPECT_EQ(planned(plan, "a.weight").reason, "");
  }
}

TEST(Quantize, EmbeddingAndHeadAreStoredBetter) {
  auto file = [](Dtype dtype) {
    return Tensors()
        .add("emb.weight", {8, 256}, normal_numbers(2048), dtype)
        .add("head.weight", {8, 256}, normal_numbers(2048), dtype)
        .add("blocks.0.att.key.weight", {8, 256}, normal_numbers(2048), dtype)
        .file();
  };
  const TensorFile full = file(Dtype::f32), small = file(Dtype::q4_0);
  auto types = [](const TensorFile& of, Dtype wished) {
    const QuantizationPlan plan = plan_types(of, wished);
    return std::vector<Dtype>{type_of(plan, "emb.weight"), type_of(plan, "head.weight")};
  };
  EXPECT_EQ(types(full, Dtype::q4_k), (std::vector<Dtype>{Dtype::q8_0, Dtype::q6_k}));
  EXPECT_EQ(types(full, Dtype::q5_1), (std::vector<Dtype>{Dtype::q8_0, Dtype::q6_k}));
  EXPECT_EQ(types(full, Dtype::q8_0), (std::vector<Dtype>{Dtype::q8_0, Dtype::q8_0}));
  EXPECT_EQ(types(full, Dtype::f16), (std::vector<Dtype>{Dtype::f16, Dtype::f16}));
  // No storage for precision that is already lost.
  EXPECT_EQ(types(small, Dtype::q4_0), (std::vector<Dtype>{Dtype::q4_0, Dtype::q4_0}));
}

TEST(Quantize, ATensorWithOutliersGetsABetterType) {
  Numbers numbers = normal_numbers(1 << 14);
  // Two large numbers in every block leave few integers for the others.
  for (size_t i = 0; i < numbers.size(); i += 32) numbers[i + 3] = 9, numbers[i + 20] = -9;
  const TensorFile file = Tensors()
                              .add("even.weight", {64, 256}, normal_numbers(1 << 14))
                              .add("spiky.weight", {64, 256}, numbers)
                              .file();
  for (const Dtype wished : {Dtype::q4_0, Dtype::q4_k, Dtype::q8_0}) {
    const QuantizationPlan plan = plan_types(file, wished);
    const PlannedTensor& spiky = planned(plan, "spiky.weight");
    EXPECT_EQ(type_of(plan, "even.weight"), wished);
    EXPECT_NE(spiky.stored.type, wished);
    EXPECT_GT(measure_error({spiky.stored.source, wished}).rms, error_limit(wished));
    EXPECT_LE(spiky.error.rms, error_limit(wished));
    EXPECT_EQ(spiky.reason.find("a smaller type would cost 0."), 0u) << spiky.reason;
  }
}

TEST(Quantize, NumbersBeyondTheRangeOfF16BecomeBf16OrF32) {
  Numbers large = normal_numbers(4096);
  large[7] = 1e5f;
  const TensorFile file = Tensors().add("a.weight", {64, 64}, large).file();
  const QuantizationPlan plan = plan_types(file, Dtype::f16);
  EXPECT_EQ(type_of(plan, "a.weight"), Dtype::bf16);
  EXPECT_EQ(planned(plan, "a.weight").reason, "f16 cannot represent its numbers");
}

TEST(Quantize, ARequestedPlainTypeIsUsed) {
  for (const Dtype source : {Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::q8_0})
    for (const Dtype wished : {Dtype::f32, Dtype::f16, Dtype::bf16}) {
      const TensorFile file = Tensors().add("a.weight", {64, 64}, normal_numbers(4096), source).file();
      EXPECT_EQ(type_of(plan_types(file, wished), "a.weight"), wished) << name_of(source);
    }
  const TensorFile file = Tensors().file();
  EXPECT_THROW(plan_types(file, Dtype::i32), Error);
  EXPECT_THROW(plan_types(file, Dtype::f64), Error);
}

TEST(Quantize, TheMeasuredErrorIsThatOfTheWrittenNumbers) {
  const Numbers numbers = normal_numbers((1 << 20) + (1 << 19));  // more than one piece
  const TensorFile file = Tensors().add("a.weight", {1 << 10, 1536}, numbers).file();
  const StoredTensor tensor{file.tensors()[0], Dtype::q4_1};
  std::vector<std::byte> bytes;
  write_stored(tensor, [&](auto part) { bytes.insert(bytes.end(), part.begin(), part.end()); });
  Numbers stored(numbers.size());
  decode(Dtype::q4_1, bytes.data(), std::span(stored));
  double lost = 0, squares = 0, largest = 0, largest_lost = 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    const double w = static_cast<double>(numbers[i]), d = static_cast<double>(stored[i]) - w;
    lost += d * d, squares += w * w;
    largest = std::max(largest, std::abs(w)), largest_lost = std::max(largest_lost, std::abs(d));
  }
  const StorageError error = measure_error(tensor);
  EXPECT_NEAR(error.rms, std::sqrt(lost / squares), 1e-9);
  EXPECT_EQ(error.largest, largest_lost / largest);
  EXPECT_EQ(measure_error({file.tensors()[0], Dtype::f32}).rms, 0);
}

TEST(Quantize, ZerosHaveNoError) {
  const TensorFile file = Tensors().add("a.weight", {64, 64}, Numbers(4096, 0.0f)).file();
  const QuantizationPlan plan = plan_types(file, Dtype::q4_0);
  EXPECT_EQ(type_of(plan, "a.weight"), Dtype::q4_0);
  EXPECT_EQ(planned(plan, "a.weight").error.rms, 0);
  EXPECT_EQ(why_broken(plan), "");
}

TEST(Quantize, ProgressCountsAllNumbersAndCanStop) {
  const TensorFile file = Tensors()
                              .add("a.weight", {64, 64}, normal_numbers(4096))
                              .add("b.weight", {64}, normal_numbers(64))
                              .file();
  std::vector<int64_t> seen;
  plan_types(file, Dtype::q8_0, [&](int64_t done) { return seen.push_back(done), true; });
  EXPECT_EQ(seen, (std::vector<int64_t>{4096, 4160}));
  EXPECT_EQ(plan_types(file, Dtype::q8_0, [](int64_t) { return false; }).tensors.size(), 1u);
}

TEST(Quantize, NumbersThatAreNotFiniteOrAllZeroAreReported) {
  Numbers numbers = normal_numbers(4096);
  numbers[9] = std::numeric_limits<float>::quiet_NaN();
  const TensorFile file = Tensors().add("a.weight", {64, 64}, numbers).file();
  for (const Dtype wished : {Dtype::q4_0, Dtype::f32})
    EXPECT_EQ(why_broken(plan_types(file, wished)), "a.weight holds numbers that are not finite");

  const TensorFile tiny = Tensors().add("b.weight", {64, 64}, Numbers(4096, 1e-12f)).file();
  EXPECT_EQ(why_broken(plan_types(tiny, Dtype::q4_0)), "");  // it keeps a type that can represent it
  QuantizationPlan plan{Dtype::f16, {{{tiny.tensors()[0], Dtype::f16}, {}, ""}}};
  plan.tensors[0].error = measure_error(plan.tensors[0].stored);
  EXPECT_NE(why_broken(plan).find("b.weight loses its numbers"), std::string::npos) << why_broken(plan);
}

}  // namespace
}  // namespace aviary
