#include "data/window_order.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "support/repository.h"

namespace aviary {
namespace {

using Kind = WindowOrder::Kind;

TEST(WindowOrder, OneTextIsReadAsBySampler) {
  const WindowOrder order({{1000}}, 16, 7);
  const BatchSampler sampler(1000, 16, 3, 7);
  for (int64_t step = 0; step < 60; ++step)
    for (int64_t s = 0; s < 3; ++s)
      EXPECT_EQ(order.window(step * 3 + s).start, sampler.starts(step)[static_cast<size_t>(s)]) << step;
}

TEST(WindowOrder, TheCubicOrderOfOneTextIsThatOfRwkvLm) {
  const auto json = parse_json(read_file(golden("binidx/magic_prime.json"), 1 << 20), "magic_prime.json");
  int rows = 0;
  for (const auto& row : json["sample_offsets"]) {
    const int64_t context = row["ctx_len"], prime = row["magic_prime"];
    const WindowOrder order({{(prime + 1) * context}}, context, 1, Kind::cubic);
    EXPECT_EQ(order.window(row["ii"].get<int64_t>() - 1).start, row["token_offset"].get<int64_t>()) << row;
    ++rows;
  }
  EXPECT_GT(rows, 3);
}

TEST(WindowOrder, InAnEpochEachTextComesAsOftenAsItsWeightSays) {
  for (const Kind kind : {Kind::shuffled, Kind::cubic}) {
    // 62, 25 and 12 windows, or 59, 23 and 11 by the cubic order.
    const std::vector<WindowOrder::Text> texts = {{1000}, {404, 2}, {200, 0.5}};
    const WindowOrder order(texts, 16, 7, kind);
    const std::vector<int64_t> windows =
        kind == Kind::cubic ? std::vector<int64_t>{59, 23, 11} : std::vector<int64_t>{61, 24, 11};
    const int64_t epoch = windows[0] + 2 * windows[1] + (windows[2] + 1) / 2;
    std::map<size_t, std::map<int64_t, int>> seen;
    for (int64_t sample = 0; sample < 2 * epoch; ++sample) {
      const Window window = order.window(sample);
      ASSERT_LT(window.text, texts.size());
      ASSERT_GE(window.start, 0);
      ASSERT_LE(window.start + 17, texts[window.text].tokens);
      ++seen[window.text][window.start];
    }
    const auto total = [&](size_t text) {
      int64_t sum = 0;
      for (const auto& [start, count] : seen[text]) sum += count;
      return sum;
    };
    EXPECT_EQ(total(0), 2 * windows[0]);
    EXPECT_EQ(total(1), 4 * windows[1]);
    EXPECT_EQ(total(2), 2 * ((windows[2] + 1) / 2));
    // In the cubic order, where windows have no phases: each as often as another.
    if (kind == Kind::shuffled) continue;
    for (const auto& [start, count] : seen[1]) EXPECT_EQ(count, 4) << start;
  }
}

TEST(WindowOrder, TextsAreMixedAndNotReadOneAfterTheOther) {
  const WindowOrder order({{1600}, {1600}}, 16, 3);
  int changes = 0;
  for (int64_t sample = 1; sample < 100; ++sample)
    if (order.window(sample).text != order.window(sample - 1).text) ++changes;
  EXPECT_GT(changes, 30);
}

TEST(WindowOrder, AShortTextAndNoWeightAreRefused) {
  EXPECT_THROW(WindowOrder({}, 16, 1), Error);
  EXPECT_THROW(WindowOrder({{1000}, {16}}, 16, 1), Error);
  EXPECT_THROW(WindowOrder({{1000, 0}}, 16, 1), Error);
}

}  // namespace
}  // namespace aviary
