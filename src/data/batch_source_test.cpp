#include "data/batch_source.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"

namespace aviary {
namespace {

std::vector<int32_t> counting(int32_t size) {
  std::vector<int32_t> text(static_cast<size_t>(size));
  std::iota(text.begin(), text.end(), 0);
  return text;
}

TEST(BatchSource, WindowsAreThoseOfTheSamplerEachWithAFreshState) {
  const std::vector<int32_t> text = counting(1000);
  WindowSource source(text, 16, 3, 7);
  const BatchSampler sampler(1000, 16, 3, 7);
  for (int64_t pass : {0, 5, 2}) {
    const Batch& batch = source.batch(pass);
    const std::vector<int64_t> starts = sampler.starts(pass);
    ASSERT_EQ(batch.sequences.count(), 3);
    EXPECT_EQ(batch.counted(), 48);
    for (int64_t s = 0; s < 3; ++s) {
      EXPECT_TRUE(batch.fresh[static_cast<size_t>(s)]);
      for (int64_t t = 0; t < 16; ++t) {
        const auto row = static_cast<size_t>(batch.sequences.begin(s) + t);
        EXPECT_EQ(batch.tokens[row], starts[static_cast<size_t>(s)] + t);
        EXPECT_EQ(batch.targets[row], starts[static_cast<size_t>(s)] + t + 1);
      }
    }
  }
}

TEST(BatchSource, CarriedSequencesGoOnWhereTheyStoppedAndAroundTheEnd) {
  const std::vector<int32_t> text = counting(100);
  CarriedSource source(text, 8, 2);
  std::vector<int64_t> next = {0, 50};
  for (int64_t pass = 0; pass < 30; ++pass) {
    const Batch& batch = source.batch(pass);
    for (int64_t s = 0; s < 2; ++s) {
      EXPECT_EQ(batch.fresh[static_cast<size_t>(s)], pass == 0);
      for (int64_t row = batch.sequences.begin(s); row < batch.sequences.end(s); ++row) {
        int64_t& at = next[static_cast<size_t>(s)];
        EXPECT_EQ(batch.tokens[static_cast<size_t>(row)], at);
        at = (at + 1) % 100;
        EXPECT_EQ(batch.targets[static_cast<size_t>(row)], at);
      }
    }
  }
}

TEST(BatchSource, MaskedTargetsAreNotCounted) {
  const Batch batch{.tokens = {1, 2, 3, 4},
                    .targets = {-1, 3, -100, 0},
                    .sequences = Sequences::uniform(2, 2),
                    .fresh = {true, true}};
  EXPECT_EQ(batch.counted(), 2);
}

TEST(BatchSource, ATextThatIsTooShortIsRefused) {
  const std::vector<int32_t> text = counting(8);
  EXPECT_THROW(WindowSource(text, 8, 1, 1), Error);
  EXPECT_THROW(CarriedSource(text, 8, 1), Error);
}

TEST(BatchSource, APartOfABatchIsSomeOfItsSequences) {
  Batch batch{.tokens = {1, 2, 3, 4, 5, 6},
              .targets = {2, 3, 4, -1, 6, 7},
              .sequences = {},
              .fresh = {true, false, true}};
  for (int64_t length : {1, 3, 2}) batch.sequences.append(length);
  const Batch part = batch.part(1, 3);
  EXPECT_EQ(part.tokens, (std::vector<int32_t>{2, 3, 4, 5, 6}));
  EXPECT_EQ(part.targets, (std::vector<int32_t>{3, 4, -1, 6, 7}));
  EXPECT_EQ(part.fresh, (std::vector<bool>{false, true}));
  EXPECT_EQ(part.sequences.count(), 2);
  EXPECT_EQ(part.sequences.length(0), 3);
  EXPECT_EQ(batch.part(2, 2).tokens.size(), 0u);
}

}  // namespace
}  // namespace aviary
