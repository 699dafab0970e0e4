#include "compare/positions.h"

#include <gtest/gtest.h>

#include <cmath>

namespace aviary {
namespace {

TEST(PositionBins, NoneContainsPositionsOnBothSidesOfTheTrainedLength) {
  constexpr int64_t context = 50, length = 200;
  PositionLoss loss{1, std::vector<double>(length, 3.0)};
  for (size_t t = context; t < length; ++t) loss.nats[t] = 1;
  const std::vector<PositionBin> bins = bins_of(loss, context);
  for (const PositionBin& bin : bins) EXPECT_EQ(bin.loss, bin.tokens <= context ? 3 : 1) << bin.tokens;
  EXPECT_EQ(bins.front().tokens, 1);
  EXPECT_LT(bins.size(), 40u);
  EXPECT_GT(bins.back().tokens, length / 1.25);
  EXPECT_TRUE(bins_of({}, context).empty());
}

}  // namespace
}  // namespace aviary
