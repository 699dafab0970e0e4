#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/random.h"
#include "support/test_data.h"
#include "text/vocabulary.h"

namespace aviary {
namespace {

std::string every_byte_text(const std::vector<std::string>& learned) {
  std::string text;
  for (int byte = 0; byte < 256; ++byte)
    text += vocabulary_line(byte + 1, std::string(1, static_cast<char>(byte)));
  for (size_t i = 0; i < learned.size(); ++i)
    text += vocabulary_line(static_cast<int32_t>(257 + i), learned[i]);
  return text;
}

// Greedy longest match by looking up every length in a map.
std::vector<int32_t> greedy(const std::map<std::string, int32_t>& tokens, const std::string& text) {
  std::vector<int32_t> ids;
  for (size_t at = 0; at < text.size();) {
    size_t length = text.size() - at;
    while (tokens.count(text.substr(at, length)) == 0) --length;
    ids.push_back(tokens.at(text.substr(at, length)));
    at += length;
  }
  return ids;
}

TEST(Tokenizer, BytesAreTheirOwnTokens) {
  auto bytes = make_bytes_tokenizer();
  EXPECT_EQ(bytes->encode(std::string_view("a\0\xff", 3)), (std::vector<int32_t>{97, 0, 255}));
  EXPECT_EQ(bytes->decode(std::vector<int32_t>{104, 105}), "hi");
  EXPECT_EQ(bytes->vocab_size(), 256);
  EXPECT_EQ(bytes->end_of_text(), std::nullopt);
  EXPECT_EQ(bytes->bytes_of(256), "");
  EXPECT_THROW(bytes->bytes_of(-1), Error);
}

TEST(Tokenizer, WorldTakesTheLongestTokenEvenIfMoreTokensFollow) {
  auto world = make_world_tokenizer(every_byte_text({"ab", "abcd", "bc", "cde"}));
  EXPECT_EQ(world->encode("abcde"), (std::vector<int32_t>{258, 'e' + 1}));  // not ab + cde
  EXPECT_EQ(world->encode("abc"), (std::vector<int32_t>{257, 'c' + 1}));
  EXPECT_EQ(world->encode("abcabcd"), (std::vector<int32_t>{257, 'c' + 1, 258}));
  EXPECT_EQ(world->encode(""), std::vector<int32_t>{});
}

TEST(Tokenizer, WorldAppendsToExistingTokens) {
  auto world = make_world_tokenizer(every_byte_text({"ab"}));
  std::vector<int32_t> tokens = {7};
  world->encode("ab", tokens);
  EXPECT_EQ(tokens, (std::vector<int32_t>{7, 257}));
}

TEST(Tokenizer, WorldKnowsItsIdsAndItsGaps) {
  auto world = make_world_tokenizer(every_byte_text({}) + "300 'abc' 3\n");
  EXPECT_EQ(world->vocab_size(), 301);
  EXPECT_EQ(world->end_of_text(), 0);
  EXPECT_EQ(world->bytes_of(0), "");
  EXPECT_EQ(world->bytes_of(1), std::string_view("\0", 1));
  EXPECT_EQ(world->bytes_of(299), "");
  EXPECT_EQ(world->bytes_of(300), "abc");
  EXPECT_EQ(world->bytes_of(65535), "");
  EXPECT_THROW(world->bytes_of(-1), Error);
}

TEST(Tokenizer, WorldAgreesWithAPlainSearchOnRandomVocabularies) {
  Random random(11);
  auto random_bytes = [&](int64_t length, int64_t letters) {
    std::string bytes;
    while (length-- > 0) bytes += static_cast<char>(random.below(letters) * (letters < 4 ? 97 : 1));
    return bytes;
  };
  for (int round = 0; round < 30; ++round) {
    int64_t letters = round % 2 == 0 ? 3 : 256;
    std::map<std::string, int32_t> tokens;
    for (int byte = 0; byte < 256; ++byte) tokens[std::string(1, static_cast<char>(byte))] = byte + 1;
    std::vector<std::string> learned;
    for (int i = 0; i < 400; ++i) {
      std::string token = random_bytes(2 + random.below(6), letters);
      if (tokens.try_emplace(token, 257 + static_cast<int32_t>(learned.size())).second)
        learned.push_back(token);
    }
    auto world = make_world_tokenizer(every_byte_text(learned));
    for (int i = 0; i < 50; ++i) {
      std::string text = random_bytes(random.below(60), letters);
      if (letters == 256)
        for (int j = 0; j < 5; ++j)
          text += learned[static_cast<size_t>(random.below(static_cast<int64_t>(learned.size())))];
      auto ids = world->encode(text);
      ASSERT_EQ(ids, greedy(tokens, text)) << testing::PrintToString(text);
      ASSERT_EQ(world->decode(ids), text);
    }
  }
}

TEST(Tokenizer, RandomBytesSurviveTheRoundTrip) {
  Random random(5);
  std::string text;
  for (int i = 0; i < 100000; ++i) text += static_cast<char>(random.below(256));
  for (auto& tokenizer :
       {make_bytes_tokenizer(), make_world_tokenizer(every_byte_text({"ab", "\xff\xfe", " the"}))})
    EXPECT_TRUE(tokenizer->decode(tokenizer->encode(text)) == text) << tokenizer->kind();
}

TEST(Tokenizer, SurvivesSerialization) {
  for (auto& tokenizer :
       {make_bytes_tokenizer(), make_world_tokenizer(every_byte_text({"ab", "it's", "\xe4\xbd\xa0"}))}) {
    auto again = make_tokenizer(tokenizer->kind(), tokenizer->serialize());
    EXPECT_EQ(again->serialize(), tokenizer->serialize());
    EXPECT_EQ(again->hash(), tokenizer->hash());
    EXPECT_EQ(again->vocab_size(), tokenizer->vocab_size());
  }
  EXPECT_THROW(make_tokenizer("sentencepiece", ""), Error);
  EXPECT_THROW(make_tokenizer("bytes", "1 'a' 1\n"), Error);
  EXPECT_THROW(make_tokenizer("world", ""), Error);
}

TEST(Tokenizer, TheHashDependsOnTheTokensNotOnTheirSpelling) {
  uint64_t hash = make_world_tokenizer(every_byte_text({}) + "257 '\\u4f60' 3\n")->hash();
  EXPECT_EQ(make_world_tokenizer(every_byte_text({}) + "257 \"\xe4\xbd\xa0\" 3\r\n")->hash(), hash);
  EXPECT_NE(make_world_tokenizer(every_byte_text({}) + "258 '\\u4f60' 3\n")->hash(), hash);
  EXPECT_NE(make_world_tokenizer(every_byte_text({}))->hash(), make_bytes_tokenizer()->hash());
}

// The official vocabulary, a file of 1 MB that is not in the repository.
class OfficialWorld : public testing::Test {
 protected:
  void SetUp() override {
    const std::optional<std::string> text = shared_text("rwkv_vocab_v20230424.txt");
    if (!text) GTEST_SKIP() << "set AVIARY_SHARED to a folder with data/rwkv_vocab_v20230424.txt";
    world_ = make_world_tokenizer(*text);
  }
  TokenizerPtr world_;
};

TEST_F(OfficialWorld, EncodesLikeTheOriginalTokenizer) {
  const auto cases = tokenizer_cases("world.jsonl");
  for (const TokenizerCase& c : cases) {
    ASSERT_EQ(world_->encode(c.text), c.ids) << testing::PrintToString(c.text);
    ASSERT_EQ(world_->decode(c.ids), c.text);
  }
  EXPECT_GT(cases.size(), 100u);
}

TEST_F(OfficialWorld, HasTheTokensOfTheOriginal) {
  auto json = nlohmann::json::parse(golden_text("world.json"));
  for (auto& [id, base64] : json.at("samples").items())
    EXPECT_EQ(world_->bytes_of(std::stoi(id)), from_base64(base64)) << id;
  EXPECT_EQ(world_->vocab_size(), json.at("max_id").get<int>() + 1);
  int tokens = 0;
  size_t longest = 0;
  for (int32_t id = 0; id < world_->vocab_size(); ++id) {
    tokens += !world_->bytes_of(id).empty();
    longest = std::max(longest, world_->bytes_of(id).size());
  }
  EXPECT_EQ(tokens, json.at("tokens").get<int>());
  EXPECT_EQ(longest, json.at("max_token_len").get<size_t>());
}

TEST_F(OfficialWorld, SurvivesSerializationAndEncodesEachOfItsTokens) {
  auto again = make_world_tokenizer(world_->serialize());
  EXPECT_EQ(again->hash(), world_->hash());
  for (int32_t id = 1; id < world_->vocab_size(); ++id) {
    ASSERT_EQ(again->bytes_of(id), world_->bytes_of(id));
    ASSERT_EQ(world_->encode(world_->bytes_of(id)), std::vector<int32_t>{id});
  }
}

}  // namespace
}  // namespace aviary
