#include <fmt/format.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/error.h"
#include "base/random.h"
#include "support/test_data.h"
#include "text/tokenizer.h"

namespace aviary {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<int32_t>;

// Their tokens have ids from 256; the first is "th".
const std::vector<std::string> tokenizer_merges = {"t h", "\u0120 t", "th e", "\u0120t h", "\u00c3 \u00a9"};
constexpr int32_t space_t = 257, the = 258, space_th = 259, the_e = 260;

Json added(int32_t id, const std::string& content, bool normalized) {
  return {{"id", id}, {"content", content}, {"normalized", normalized}};
}

TEST(BpeTokenizer, MergesTheBytesOfEachWord) {
  auto tokenizer = make_bpe_tokenizer(small_tokenizer_json(tokenizer_merges).dump());
  EXPECT_EQ(tokenizer->encode("the"), Ids{the});
  EXPECT_EQ(tokenizer->encode(" the"), (Ids{' ', the}));  // "t h" is merged first
  EXPECT_EQ(tokenizer->encode("at he"), (Ids{'a', 't', ' ', 'h', 'e'}));
  EXPECT_EQ(tokenizer->encode("x t\n"), (Ids{'x', space_t, '\n'}));
  EXPECT_EQ(tokenizer->encode(""), Ids{});
  EXPECT_EQ(tokenizer->decode(Ids{' ', the, 'x'}), " thex");
  EXPECT_EQ(tokenizer->vocab_size(), 261);
  EXPECT_EQ(tokenizer->kind(), "bpe");
  EXPECT_EQ(tokenizer->bytes_of(space_th), " th");
  EXPECT_EQ(tokenizer->bytes_of(65535), "");
  EXPECT_EQ(tokenizer->end_of_text(), std::nullopt);
  EXPECT_THROW(tokenizer->bytes_of(-1), Error);
}

TEST(BpeTokenizer, AppendsToExistingTokens) {
  auto tokenizer = make_bpe_tokenizer(small_tokenizer_json(tokenizer_merges).dump());
  for (int again = 0; again < 2; ++again) {
    Ids ids = {7};
    tokenizer->encode("the the", ids);
    EXPECT_EQ(ids, (Ids{7, the, ' ', the}));
  }
}

TEST(BpeTokenizer, NormalizesIfTheFileSaysSo) {
  Json json = small_tokenizer_json(tokenizer_merges);
  auto nfc = make_bpe_tokenizer(json.dump());
  EXPECT_EQ(nfc->encode("e\u0301"), Ids{the_e});
  EXPECT_EQ(nfc->decode(nfc->encode("e\u0301")), "\u00e9");
  json["normalizer"] = nullptr;
  auto plain = make_bpe_tokenizer(json.dump());
  EXPECT_EQ(plain->encode("e\u0301"), (Ids{'e', 0xcc, 0x81}));
  EXPECT_NE(plain->hash(), nfc->hash());
}

TEST(BpeTokenizer, FindsAddedTokensBeforeAndAfterNormalization) {
  Json json = small_tokenizer_json(tokenizer_merges);
  json["added_tokens"] = {added(300, "<e\u0301>", true), added(301, "<|endoftext|>", false),
                          added(302, "a\u0308", false)};
  auto tokenizer = make_bpe_tokenizer(json.dump());
  EXPECT_EQ(tokenizer->encode("<\u00e9>the<e\u0301>"), (Ids{300, the, 300}));
  EXPECT_EQ(tokenizer->encode("a\u0308<|endoftext|>"), (Ids{302, 301}));
  EXPECT_EQ(tokenizer->encode("\u00e4"), (Ids{0xc3, 0xa4}));
  EXPECT_EQ(tokenizer->bytes_of(300), "<e\u0301>");
  EXPECT_EQ(tokenizer->decode(Ids{301, the}), "<|endoftext|>the");
  EXPECT_EQ(tokenizer->end_of_text(), 301);
  EXPECT_EQ(tokenizer->vocab_size(), 303);
  EXPECT_EQ(tokenizer->bytes_of(299), "");
}

TEST(BpeTokenizer, BytesOutsideUtf8AreSeparateTokens) {
  auto tokenizer = make_bpe_tokenizer(small_tokenizer_json({"\u00c3 \u00a9", "\u00c3 \u00c3"}).dump());
  EXPECT_EQ(tokenizer->encode("\xc3\xa9\xc3\xc3\xc3\xa9"), (Ids{256, 0xc3, 0xc3, 256}));
  EXPECT_EQ(tokenizer->encode("\xe4\xbd"), (Ids{0xe4, 0xbd}));
}

TEST(BpeTokenizer, RandomBytesSurviveTheRoundTrip) {
  Json json = small_tokenizer_json(tokenizer_merges);
  json["added_tokens"] = {added(300, "   ", true), added(301, "<|endoftext|>", false)};
  json["normalizer"] = nullptr;
  auto tokenizer = make_bpe_tokenizer(json.dump());
  constexpr std::string_view parts[] = {
      "th", "e",  " ",    "\n",  "\xff", "\xe4", "\xe4\xbd\xa0", "e\u0301", "\u00e9", "<|endoftext|>",
      "7",  "'s", "\xc3", "\xa9"};
  Random random(4);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (int64_t i = random.below(30); i > 0; --i) text += parts[random.below(14)];
    ASSERT_EQ(tokenizer->decode(tokenizer->encode(text)), text) << testing::PrintToString(text);
  }
  std::string bytes;
  for (int i = 0; i < 100'000; ++i) bytes += static_cast<char>(random.below(256));
  EXPECT_TRUE(tokenizer->decode(tokenizer->encode(bytes)) == bytes);
}

TEST(BpeTokenizer, AByteWithoutATokenIsReported) {
  Json json = small_tokenizer_json(tokenizer_merges);
  json["model"]["vocab"].erase("z");
  json["model"]["vocab"].erase("\u00ff");
  auto tokenizer = make_bpe_tokenizer(json.dump());
  EXPECT_EQ(tokenizer->encode("the"), Ids{the});
  for (const auto& [text, byte] : {std::pair{"the zoo", "0x7a"}, std::pair{"the\xff", "0xff"}}) {
    try {
      tokenizer->encode(text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(byte), std::string::npos) << error.what();
    }
  }
}

TEST(BpeTokenizer, IgnoresMergesForWordsThatAreTokens) {
  Json json = small_tokenizer_json(tokenizer_merges);
  json["model"]["vocab"]["\u0120the"] = 270;
  auto merged = make_bpe_tokenizer(json.dump());
  EXPECT_EQ(merged->encode(" the"), (Ids{' ', the}));
  json["model"]["ignore_merges"] = true;
  auto ignoring = make_bpe_tokenizer(json.dump());
  EXPECT_EQ(ignoring->encode(" the the"), (Ids{270, 270}));
  EXPECT_EQ(ignoring->encode(" thee"), (Ids{' ', the, 'e'}));
}

TEST(BpeTokenizer, SurvivesSerialization) {
  Json json = small_tokenizer_json(tokenizer_merges);
  json["added_tokens"] = {added(300, "   ", true), added(301, "<\n>", false)};
  auto tokenizer = make_bpe_tokenizer(json.dump());
  auto again = make_tokenizer("bpe", tokenizer->serialize());
  EXPECT_EQ(again->serialize(), tokenizer->serialize());
  EXPECT_EQ(again->hash(), tokenizer->hash());
  EXPECT_EQ(again->encode("the   <\n> the"), tokenizer->encode("the   <\n> the"));
}

TEST(BpeTokenizer, ManyThreadsMayEncodeAtOnce) {
  auto tokenizer = make_bpe_tokenizer(small_tokenizer_json(tokenizer_merges).dump());
  std::string text;
  Random random(9);
  for (int i = 0; i < 20000; ++i) text += fmt::format(" {}the", random.below(1000));
  const Ids expected = tokenizer->encode(text);
  std::vector<std::thread> threads;
  std::array<bool, 4> same{};
  for (bool& result : same) threads.emplace_back([&] { result = tokenizer->encode(text) == expected; });
  for (std::thread& thread : threads) thread.join();
  for (bool result : same) EXPECT_TRUE(result);
}

// The vocabulary of GPT-NeoX, Pile and Raven models, a file of 2.4 MB that is not in the repository.
class OfficialNeox : public testing::Test {
 protected:
  void SetUp() override {
    const std::optional<std::string> text = shared_text("20B_tokenizer.json");
    if (!text) GTEST_SKIP() << "set AVIARY_SHARED to a folder with data/20B_tokenizer.json";
    neox_ = make_bpe_tokenizer(*text);
  }
  TokenizerPtr neox_;
};

TEST_F(OfficialNeox, EncodesAndDecodesLikeTheOriginal) {
  const auto cases = tokenizer_cases("neox20b.jsonl");
  for (const TokenizerCase& c : cases) {
    EXPECT_EQ(neox_->encode(c.text), c.ids) << testing::PrintToString(c.text);
    EXPECT_EQ(neox_->decode(c.ids), c.decoded);
  }
  EXPECT_GT(cases.size(), 100u);
}

TEST_F(OfficialNeox, HasTheRightSizeEndOfTextAndBytes) {
  EXPECT_EQ(neox_->vocab_size(), 50277);
  EXPECT_EQ(neox_->end_of_text(), 0);
  EXPECT_EQ(neox_->bytes_of(50276), "  ");
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    if (byte == 0xc0 || byte == 0xc1 || byte > 0xf4)  // they do not occur in UTF-8, nor in the vocabulary
      EXPECT_THROW(neox_->encode(text), Error);
    else
      EXPECT_EQ(neox_->decode(neox_->encode(text)), text);
  }
}

TEST_F(OfficialNeox, SurvivesSerialization) {
  auto again = make_tokenizer("bpe", neox_->serialize());
  EXPECT_EQ(again->hash(), neox_->hash());
  for (const TokenizerCase& c : tokenizer_cases("neox20b.jsonl")) ASSERT_EQ(again->encode(c.text), c.ids);
}

}  // namespace
}  // namespace aviary
