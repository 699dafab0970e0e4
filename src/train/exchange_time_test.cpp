#include "train/exchange_time.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace aviary {
namespace {

TEST(ExchangeTime, OneRankTalksToNobody) { EXPECT_EQ(exchange_seconds(1, 1'000'000, 4, {}), 0); }

TEST(ExchangeTime, TwoRanksSendHalfOfTheGradientsAndHalfOfTheWeights) {
  const Link link{.bits_per_second = 8e6, .latency = 0};
  EXPECT_DOUBLE_EQ(exchange_seconds(2, 1'000'000, 4, link), 4);
  EXPECT_DOUBLE_EQ(exchange_seconds(2, 1'000'000, 2, link), 3);
  EXPECT_DOUBLE_EQ(exchange_seconds(4, 1'000'000, 4, link), 6);
}

TEST(ExchangeTime, ManyRanksTakeTheTimeOfTheirMessages) {
  const Link link{.bits_per_second = 1e15, .latency = 1};
  EXPECT_NEAR(exchange_seconds(1024, 10, 4, link), 50, 1e-3);  // 10 halvings, each of 5 messages
}

TEST(ExchangeTime, ALinkIsWrittenInBitsPerSecond) {
  EXPECT_EQ(link_of("10Mbit").bits_per_second, 1e7);
  EXPECT_EQ(link_of("2.5Gbit").bits_per_second, 2.5e9);
  for (const char* text : {"", "Gbit", "1", "1GB", "-1Gbit", "0Mbit", "1e400Gbit", "nanGbit", "1Gbit "})
    EXPECT_THROW(link_of(text), Error) << text;
}

}  // namespace
}  // namespace aviary
