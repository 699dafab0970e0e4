// Plans for a given size and for a given quality.
#include "quant/budget.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "formats/safetensors.h"
#include "quant/report.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

class Budget : public testing::Test {
 protected:
  Budget() {
    Random random(1);
    for (const char* name :
         {"emb.weight", "blocks.0.att.key.weight", "blocks.0.ffn.key.weight", "head.weight"}) {
      std::vector<float>& values = values_.emplace_back(256 * 64);
      for (float& value : values) value = static_cast<float>(random.normal());
      entries_.push_back({name, Dtype::f32, {64, 256}, std::as_bytes(std::span(values))});
    }
    entries_.push_back({"ln_out.weight", Dtype::f32, {256}, entries_[0].data.first(1024)});
    write_safetensors(folder_ / "model.safetensors", unchanged(entries_), {});
    file_.emplace(read_tensor_file(folder_ / "model.safetensors"));
    choice_.emplace(*file_);
  }

  TestFolder folder_;
  std::vector<std::vector<float>> values_;
  std::vector<TensorEntry> entries_;
  std::optional<TensorFile> file_;
  std::optional<TypeChoice> choice_;
};

int64_t bytes_of(const QuantizationPlan& plan) { return plan.bytes(); }

// A simple measure of damage for tests.
double damage(const QuantizationPlan& plan) {
  double sum = 0;
  for (const PlannedTensor& tensor : plan.tensors) sum += tensor.error.rms * tensor.error.rms;
  return sum;
}

TEST_F(Budget, APlanUsesMostOfTheBudget) {
  double before = 1;
  for (int64_t bytes : {45'000, 60'000, 80'000, 140'000}) {
    const QuantizationPlan plan = choice_->of_size(bytes, bytes_of);
    EXPECT_LE(plan.bytes(), bytes);
    EXPECT_GE(plan.bytes(), bytes * 3 / 5) << bytes;
    EXPECT_LT(damage(plan), before) << bytes;
    before = damage(plan);
    EXPECT_EQ(plan.tensors.back().stored.type, Dtype::f32) << "vectors stay as they are";
  }
}

TEST_F(Budget, WhatIsInTheFileBesideTheTensorsCounts) {
  const auto with_names = [](const QuantizationPlan& plan) { return plan.bytes() + 15'000; };
  EXPECT_LE(choice_->of_size(60'000, with_names).bytes(), 45'000);
}

TEST_F(Budget, TheMostImportantTensorsGetTheMostBits) {
  const QuantizationPlan plan = choice_->of_size(50'000, bytes_of);
  auto bytes = [&](size_t i) { return plan.tensors[i].stored.bytes(); };
  EXPECT_GE(bytes(0), bytes(1));
  EXPECT_GE(bytes(3), bytes(2));
  EXPECT_GT(bytes(0) + bytes(3), bytes(1) + bytes(2));
}

TEST_F(Budget, AMatrixThatIsNotFiniteIsReported) {
  values_[1][7] = NAN;
  write_safetensors(folder_ / "broken.safetensors", unchanged(entries_), {});
  const TensorFile broken = read_tensor_file(folder_ / "broken.safetensors");
  EXPECT_NE(why_broken(TypeChoice(broken).of_size(1'000'000, bytes_of)), "");
}

TEST_F(Budget, AnImpossibleSizeIsRejected) { EXPECT_THROW(choice_->of_size(1000, bytes_of), Error); }

TEST_F(Budget, AQualityIsReachedWithFewBytes) {
  int calls = 0;
  auto divergence = [&](const QuantizationPlan& plan) {
    ++calls;
    return damage(plan);
  };
  const QuantizationPlan coarse = choice_->of_quality(0.01, divergence);
  EXPECT_LE(damage(coarse), 0.01);
  const QuantizationPlan fine = choice_->of_quality(0.0001, divergence);
  EXPECT_LE(damage(fine), 0.0001);
  EXPECT_GT(fine.bytes(), coarse.bytes());
  EXPECT_LE(calls, 24);
  EXPECT_THROW(choice_->of_quality(0.01, [](const QuantizationPlan&) { return 1.0; }), Error);
}

}  // namespace
}  // namespace aviary
