#include "states/state_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/random.h"

namespace aviary {
namespace {

using Tokens = std::vector<int32_t>;

// Snapshots of a made-up model: what matters is which tokens they belong to.
class Cache {
 public:
  explicit Cache(const StateCacheOptions& options = {}) : cache(options), options_(options) {}

  Snapshot snapshot(int64_t tokens, bool logits = true) const {
    Snapshot made{State(layout_), {}};
    made.state.set_position(tokens);
    if (logits) made.logits.assign(4, static_cast<float>(tokens));
    return made;
  }
  void insert(const Tokens& tokens, StateCache::Kind kind = StateCache::Kind::end) {
    cache.insert("", tokens, snapshot(std::ssize(tokens)), kind);
  }
  // Reads a text as the server does; returns the number of tokens read.
  int64_t read(const Tokens& text, const std::vector<int64_t>& ends) {
    const StateCache::Hit hit = cache.find("", text);
    if (hit.snapshot) {
      EXPECT_EQ(hit.snapshot->state.position(), hit.tokens);
    }
    for (const int64_t at : snapshot_positions(hit.tokens, std::ssize(text), ends, hit.known, options_)) {
      const bool end = at == std::ssize(text) || std::find(ends.begin(), ends.end(), at) != ends.end();
      insert({text.begin(), text.begin() + at}, end ? StateCache::Kind::end : StateCache::Kind::between);
    }
    return std::ssize(text) - hit.tokens;
  }

  StateCache cache;

 private:
  const StateCacheOptions options_;
  std::shared_ptr<const StateLayout> layout_ = std::make_shared<const StateLayout>(
      std::vector<StateSpec>{{.name = "s", .kind = StateKind::recurrence, .shape = {4}}}, Dtype::f32);
};

Tokens random_tokens(Random& random, int64_t count, int64_t kinds = 1000) {
  Tokens tokens(static_cast<size_t>(count));
  for (int32_t& token : tokens) token = static_cast<int32_t>(random.below(kinds));
  return tokens;
}

int64_t common(const Tokens& a, const Tokens& b) {
  const auto most = static_cast<ptrdiff_t>(std::min(a.size(), b.size()));
  return std::mismatch(a.begin(), a.begin() + most, b.begin()).first - a.begin();
}

TEST(StateCache, FindsTheLongestBeginning) {
  Cache cache;
  cache.insert({1, 2});
  cache.insert({1, 2, 3, 4});
  cache.insert({1, 2, 9});
  const StateCache::Hit hit = cache.cache.find("", Tokens{1, 2, 3, 5});
  ASSERT_TRUE(hit.snapshot);
  EXPECT_EQ(hit.tokens, 2);
  EXPECT_EQ(hit.known, 3);
  EXPECT_EQ(cache.cache.find("", Tokens{1, 2, 3, 4, 5}).tokens, 4);
  EXPECT_FALSE(cache.cache.find("", Tokens{2, 1}).snapshot);
}

TEST(StateCache, AWholeTextIsKnownOnlyWithLogits) {
  Cache cache;
  cache.insert({1});
  cache.cache.insert("", Tokens{1, 2}, cache.snapshot(2, false), StateCache::Kind::end);
  EXPECT_EQ(cache.cache.find("", Tokens{1, 2}).tokens, 1);
  EXPECT_EQ(cache.cache.find("", Tokens{1, 2, 3}).tokens, 2);
  cache.insert({1, 2});
  cache.cache.insert("", Tokens{1, 2}, cache.snapshot(2, false), StateCache::Kind::end);
  EXPECT_EQ(cache.cache.find("", Tokens{1, 2}).tokens, 2) << "logits are not lost to a snapshot without";
}

TEST(StateCache, KeySpacesKnowNothingOfEachOther) {
  Cache cache;
  cache.cache.insert("one", Tokens{1, 2}, cache.snapshot(2), StateCache::Kind::end);
  EXPECT_EQ(cache.cache.find("two", Tokens{1, 2}).known, 0);
  EXPECT_EQ(cache.cache.find("one", Tokens{1, 2}).tokens, 2);
  cache.cache.clear("one");
  EXPECT_FALSE(cache.cache.find("one", Tokens{1, 2}).snapshot);
  EXPECT_EQ(cache.cache.figures().bytes, 0);
}

TEST(StateCache, AgreesWithAListOfAllTexts) {
  Random random(1);
  Cache cache;
  std::map<Tokens, int64_t> all;
  for (int i = 0; i < 3000; ++i) {
    const Tokens tokens = random_tokens(random, 1 + random.below(12), 2);
    if (random.below(2) == 0) {
      cache.insert(tokens);
      all[tokens] = std::ssize(tokens);
    }
    int64_t expected = 0, known = 0;
    for (const auto& [text, length] : all) {
      known = std::max(known, common(text, tokens));
      if (common(text, tokens) == length) expected = std::max(expected, length);
    }
    const StateCache::Hit hit = cache.cache.find("", tokens);
    ASSERT_EQ(hit.tokens, expected);
    ASSERT_EQ(hit.known, known);
  }
}

TEST(StateCache, SaysWhetherMoreIsBeingRead) {
  Cache c;
  Random random(4);
  const Tokens text = random_tokens(random, 300);
  Tokens other(text.begin(), text.begin() + 250);
  other.resize(280, 1000);
  const std::vector<int64_t> places{100, 200, 300};
  c.insert({text.begin(), text.begin() + 90});
  EXPECT_FALSE(c.cache.expects_more("", other));
  c.cache.expect("", text, places);
  EXPECT_EQ(c.cache.find("", other).tokens, 90);
  EXPECT_EQ(c.cache.find("", other).known, 250) << "the text that is being read goes on to here";
  EXPECT_TRUE(c.cache.expects_more("", other));
  EXPECT_FALSE(c.cache.expects_more("another key", other));
  EXPECT_FALSE(c.cache.expects_more("", std::span(other).first(110))) << "10 tokens more are not worth it";
  c.insert({text.begin(), text.begin() + 200});
  EXPECT_FALSE(c.cache.expects_more("", other)) << "what was expected is there";
  EXPECT_TRUE(c.cache.expects_more("", text));
  c.cache.expect_no_more("", text, places);
  EXPECT_FALSE(c.cache.expects_more("", text));
  EXPECT_EQ(c.cache.find("", other).known, 200) << "nothing is left of a text that was not read to its end";
  EXPECT_EQ(c.cache.figures().snapshots, 2);
}

TEST(StateCache, NothingIsExpectedOfACacheThatIsTooSmall) {
  Cache c({.bytes = 0});
  const Tokens text(100, 7);
  const std::vector<int64_t> places{50, 100};
  c.insert({text.begin(), text.begin() + 10});
  c.cache.expect("", text, places);
  EXPECT_FALSE(c.cache.expects_more("", text)) << "nobody should wait for what cannot be kept";
}

TEST(StateCache, WhatIsExpectedMayBeForgottenMeanwhile) {
  Cache c;
  const Tokens text(100, 7);
  const std::vector<int64_t> places{50, 100};
  c.cache.expect("", text, places);
  c.cache.expect("", text, places);
  c.cache.clear("");
  c.cache.expect("", text, places);
  for (int i = 0; i < 3; ++i) c.cache.expect_no_more("", text, places);
  EXPECT_FALSE(c.cache.expects_more("", text));
  EXPECT_EQ(c.cache.figures().bytes, 0);
}

TEST(StateCache, KeepsToItsLimitAndForgetsWhatIsCheapToReadAgain) {
  Random random(2);
  StateCacheOptions options{.bytes = 20000};
  Cache cache(options);
  const Tokens dear = random_tokens(random, 2000);
  cache.insert(dear);
  for (int i = 0; i < 500; ++i) {
    cache.insert(random_tokens(random, 1 + random.below(20)));
    ASSERT_LE(cache.cache.figures().bytes, options.bytes);
  }
  EXPECT_GT(cache.cache.figures().evictions, 0);
  EXPECT_EQ(cache.cache.find("", dear).tokens, 2000);
  cache.cache.clear("");
  EXPECT_EQ(cache.cache.figures().bytes, 0);
  EXPECT_EQ(cache.cache.figures().snapshots, 0);
}

// As many as fit; what remains is dense where a change costs little in any case.
TEST(StateCache, WithoutRoomTheSpacesGrowWithTheDistanceFromTheEnd) {
  Random random(3);
  constexpr int64_t size = 1 << 14;  // bytes of a snapshot, far more than of the tokens between two
  Cache small({.bytes = 80 * size});
  Tokens text;
  for (int i = 0; i < 1000; ++i) {
    const Tokens more = random_tokens(random, 100);
    text.insert(text.end(), more.begin(), more.end());
    Snapshot snapshot = small.snapshot(std::ssize(text));
    snapshot.logits.resize(size / sizeof(float));
    small.cache.insert("", text, std::move(snapshot), StateCache::Kind::between);
  }
  EXPECT_GT(small.cache.figures().evictions, 900);
  for (int64_t at = 100; at < std::ssize(text); at += 50) {
    Tokens changed = text;
    changed[static_cast<size_t>(at)] = -1;
    const int64_t unavoidable = std::ssize(text) - at;
    const int64_t read = std::ssize(text) - small.cache.find("", changed).tokens;
    ASSERT_LE(static_cast<double>(read), 1.25 * static_cast<double>(unavoidable) + 128) << at;
  }
}

// A conversation that is continued, changed in the middle, cut anywhere and continued otherwise, continued
// from an earlier message, repeated: tokens that are read against those that differ from all earlier texts.
class History {
 public:
  explicit History(uint64_t seed)
      : random_(seed), limit_(1000 + random_.below(seed % 10 == 0 ? 100000 : 8000)) {}

  void run(int steps) {
    for (int i = 0; i < steps && std::ssize(text_) < limit_; ++i) {
      change();
      request();
      if (HasFatalFailure()) return;
    }
  }

 private:
  static bool HasFatalFailure() { return testing::Test::HasFatalFailure(); }

  void change() {
    const int64_t what = ends_.empty() ? 0 : random_.below(6);
    if (what == 1) {  // another text in the middle
      const int64_t at = random_.below(std::ssize(text_));
      const int64_t count = std::min(std::ssize(text_) - at, 1 + random_.below(30));
      for (int64_t i = 0; i < count; ++i)
        text_[static_cast<size_t>(at + i)] = static_cast<int32_t>(random_.below(1000));
    } else if (what == 2) {  // back to an earlier message
      const auto message = static_cast<size_t>(random_.below(std::ssize(ends_)));
      text_.resize(static_cast<size_t>(ends_[message]));
      ends_.resize(message + 1);
    } else if (what == 4) {  // cut within a message
      text_.resize(static_cast<size_t>(1 + random_.below(std::ssize(text_))));
      std::erase_if(ends_, [&](int64_t end) { return end > std::ssize(text_); });
    } else if (what == 3) {  // the same again
      return;
    }
    const Tokens more = random_tokens(random_, 1 + random_.below(random_.below(10) == 0 ? limit_ / 2 : 300));
    text_.insert(text_.end(), more.begin(), more.end());
    ends_.push_back(std::ssize(text_));
  }

  void request() {
    int64_t known = 0;
    for (const Tokens& text : all_) known = std::max(known, common(text, text_));
    const int64_t unavoidable = std::ssize(text_) - known;
    const int64_t read = cache_.read(text_, ends_);
    ASSERT_LE(static_cast<double>(read), 1.25 * static_cast<double>(unavoidable) + 128);
    all_.push_back(text_);
    ASSERT_EQ(cache_.read(text_, ends_), 0) << "the same request again";
  }

  Random random_;
  const int64_t limit_;
  Cache cache_{{.bytes = int64_t{1} << 40}};
  Tokens text_;
  std::vector<int64_t> ends_;
  std::vector<Tokens> all_;
};

TEST(StateCache, ReadsHardlyMoreThanWhatIsNew) {
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    SCOPED_TRACE(seed);
    History(seed).run(20);
    if (HasFatalFailure()) return;
  }
}

TEST(SnapshotPositions, EndWithTheTextAndContainTheEndsOfMessages) {
  const std::vector<int64_t> asked{5, 700, 2000};
  const std::vector<int64_t> positions = snapshot_positions(10, 1000, asked, 0);
  EXPECT_EQ(positions.back(), 1000);
  EXPECT_TRUE(std::is_sorted(positions.begin(), positions.end()));
  EXPECT_GT(positions.front(), 10);
  EXPECT_EQ(std::count(positions.begin(), positions.end(), 700), 1);
  EXPECT_TRUE(snapshot_positions(1000, 1000, asked, 1000).empty());
}

TEST(SnapshotPositions, AreNeverFarApartAndNotTooClose) {
  Random random(4);
  for (int i = 0; i < 1000; ++i) {
    int64_t from = random.below(2000);
    const int64_t total = from + 1 + random.below(3000);
    std::vector<int64_t> ends(static_cast<size_t>(random.below(40)));
    for (int64_t& end : ends) end = random.below(total + 100);
    for (const int64_t at : snapshot_positions(from, total, ends, 0)) {
      ASSERT_LE(at - from, 128);
      ASSERT_GE(at - from, std::min<int64_t>(32, total - from));
      from = at;
    }
    ASSERT_EQ(from, total);
  }
}

// A question that is written anew, with what the template puts behind it: one step.
TEST(SnapshotPositions, AShortTextIsReadAtOnce) {
  const std::vector<int64_t> ends{1002, 1060};
  EXPECT_EQ(snapshot_positions(1000, 1063, ends, 1000), std::vector<int64_t>{1063});
}

// Of many texts with the same beginning and a few words of their own, the beginning is read once.
TEST(SnapshotPositions, WhereATextPartsFromAnotherIsOneEvenCloseToTheEnd) {
  EXPECT_EQ(snapshot_positions(0, 100, {}, 90), (std::vector<int64_t>{90, 100}));
  EXPECT_EQ(snapshot_positions(80, 100, {}, 90), std::vector<int64_t>{100})
      << "10 tokens are not worth a step";
  EXPECT_EQ(snapshot_positions(0, 100, {}, 100), std::vector<int64_t>{100});
}

TEST(SnapshotPositions, OfStatesThatGrowAreFewFarFromTheEnd) {
  const std::vector<int64_t> positions = snapshot_positions(0, 100'000, {}, 0, {.growth = 0.25});
  EXPECT_LE(positions.size(), 30u);
  EXPECT_EQ(positions.back(), 100'000);
  EXPECT_GE(positions[positions.size() - 2], 100'000 - 128);
}

}  // namespace
}  // namespace aviary
