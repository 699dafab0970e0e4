#include "quant/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/random.h"
#include "tensor/encoding.h"

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
    std::vector<std::byte> bytes(static_cast<size_t>(bytes_of(dtype, std::ssize(numbers))));
    encode(numbers, dtype, bytes.data());
    table.buffers.push_back(std::move(bytes));
    table.tensors.push_back({name, dtype, std::move(shape), table.buffers.back()});
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

TEST(Quantize, OnlyMatricesGetTheWishedType) {
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

}  // namespace
}  // namespace aviary
