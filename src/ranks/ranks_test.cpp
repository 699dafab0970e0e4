#include "ranks/ranks.h"

#include <gtest/gtest.h>

#include <atomic>

#include "base/error.h"
#include "base/random.h"
#include "support/thread_ranks.h"

namespace aviary {
namespace {

constexpr int64_t counts[] = {1, 2, 4, 8};

TEST(Ranks, EveryRankGetsWhatRank0Broadcasts) {
  for (int64_t count : counts)
    run_ranks(count, [](Ranks& ranks) {
      EXPECT_EQ(ranks.broadcast(std::string(ranks.speaks() ? "of rank 0" : "mine")), "of rank 0");
      EXPECT_EQ(ranks.broadcast(std::string()), "");
      EXPECT_EQ(ranks.broadcast(ranks.speaks() ? 7 : int64_t{1}), 7);
    });
}

TEST(Ranks, Rank0GathersTheTextsOfAllInOrder) {
  for (int64_t count : counts)
    run_ranks(count, [count](Ranks& ranks) {
      std::vector<std::string> expected;
      for (int64_t r = 0; r < count && ranks.speaks(); ++r)
        expected.emplace_back(static_cast<size_t>(r), 'x');
      EXPECT_EQ(ranks.gather(std::string(static_cast<size_t>(ranks.rank()), 'x')), expected);
    });
}

TEST(Ranks, ASumHasTheSameBitsOnEveryRank) {
  for (int64_t count : counts) {
    std::vector<std::vector<double>> sums(static_cast<size_t>(count));
    run_ranks(count, [&](Ranks& ranks) {
      Random random(static_cast<uint64_t>(ranks.rank()) + 1);
      std::vector<double> numbers;
      for (int i = 0; i < 50; ++i) numbers.push_back(random.normal());
      numbers.push_back(ranks.rank() == ranks.count() - 1 ? 0.1 : 0);
      ranks.add_up(numbers);
      sums[static_cast<size_t>(ranks.rank())] = numbers;
    });
    for (const std::vector<double>& sum : sums) EXPECT_EQ(sum, sums.front());
    EXPECT_EQ(sums.front().back(), 0.1);
  }
}

// A sum that shows its order.
TEST(Shards, NeighborsAreAddedFirst) {
  const std::vector<int64_t> bounds{0, 3, 3, 4, 9};  // one shard is empty
  run_ranks(4, [&](Ranks& ranks) {
    std::vector<std::string> texts(9, std::to_string(ranks.rank()));
    const Shards shards(ranks, bounds);
    shards.reduce([&](int64_t partner, Range send, Range receive) {
      const bool is_left = ranks.rank() < partner;
      std::string other(64, ' '), own(64, ' ');
      for (int64_t i = 0; i < std::max(send.count(), receive.count()); ++i) {
        if (i < send.count())
          own.replace(0, 64, texts[static_cast<size_t>(send.begin + i)] + std::string(64, ' '), 0, 64);
        ranks.exchange(
            partner, i < send.count() ? std::as_bytes(std::span(own)) : std::span<const std::byte>(),
            i < receive.count() ? std::as_writable_bytes(std::span(other)) : std::span<std::byte>());
        if (i >= receive.count()) continue;
        std::string& text = texts[static_cast<size_t>(receive.begin + i)];
        const std::string got = other.substr(0, other.find(' '));
        text = is_left ? "(" + text + got + ")" : "(" + got + text + ")";
      }
    });
    for (int64_t i = shards.own().begin; i < shards.own().end; ++i)
      EXPECT_EQ(texts[static_cast<size_t>(i)], "((01)(23))") << ranks.rank() << " " << i;
  });
}

TEST(Shards, EveryRankGetsThePartsOfTheOthers) {
  for (int64_t count : counts)
    run_ranks(count, [count](Ranks& ranks) {
      std::vector<int64_t> bounds{0};
      for (int64_t i = 1; i <= count; ++i) bounds.push_back(bounds.back() + i * i % 5);  // also empty ones
      const Shards shards(ranks, bounds);
      std::vector<int32_t> numbers(static_cast<size_t>(bounds.back()), -1), expected;
      for (int64_t place = 0; place < bounds.back(); ++place) {
        const int64_t owner = shards.owner_of(place);
        EXPECT_TRUE(shards.of_rank(owner).begin <= place && place < shards.of_rank(owner).end);
        expected.push_back(static_cast<int32_t>(100 * owner + place));
        if (owner == ranks.rank()) numbers[static_cast<size_t>(place)] = expected.back();
      }
      shards.collect(std::as_writable_bytes(std::span(numbers)), sizeof(int32_t));
      EXPECT_EQ(numbers, expected);
    });
}

TEST(Shards, TheBytesThatARankSendsAreThoseOfAnArrayAtMost) {
  const int64_t sent = run_ranks(8, [](Ranks& ranks) {
    std::vector<int32_t> numbers(800);
    Shards(ranks, {0, 100, 200, 300, 400, 500, 600, 700, 800})
        .collect(std::as_writable_bytes(std::span(numbers)), sizeof(int32_t));
  });
  EXPECT_EQ(sent, 8 * 7 * 100 * 4);
}

TEST(Ranks, AProcessThatIsAloneHasNobodyToExchangeWith) {
  EXPECT_TRUE(alone().alone());
  EXPECT_TRUE(alone().speaks());
  EXPECT_EQ(alone().broadcast(std::string("text")), "text");
  std::vector<std::byte> bytes(1);
  EXPECT_THROW(alone().exchange(1, bytes, {}), Error);
}

}  // namespace
}  // namespace aviary
