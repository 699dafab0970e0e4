#include "grammar/token_mask.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "grammar/matcher.h"
#include "support/test_data.h"
#include "text/vocabulary.h"

namespace aviary {
namespace {

// A vocabulary with all bytes and these tokens.
TokenizerPtr vocabulary_of(const std::vector<std::string>& tokens) {
  std::string lines;
  int32_t id = 1;
  for (int byte = 0; byte < 256; ++byte)
    lines += vocabulary_line(id++, std::string(1, static_cast<char>(byte)));
  for (const std::string& token : tokens) lines += vocabulary_line(id++, token);
  return make_world_tokenizer(lines);
}

// All texts over a small alphabet of two and three characters, as tokens.
std::vector<std::string> short_texts(std::string_view alphabet) {
  std::vector<std::string> texts;
  for (const char a : alphabet)
    for (const char b : alphabet) {
      texts.push_back({a, b});
      for (const char c : alphabet) texts.push_back({a, b, c});
    }
  return texts;
}

// Compares the masks at all beginnings of the members, up to `longest` bytes, with the truth: a token is
// allowed if a member goes on with it.
void expect_true_masks(const Grammar::Ptr& grammar, const std::set<std::string>& members,
                       std::string_view alphabet, size_t longest) {
  const TokenizerPtr tokenizer = vocabulary_of(short_texts(alphabet));
  TokenMasks masks(grammar, std::make_shared<const TokenTrie>(*tokenizer));
  std::set<std::string> beginnings;
  for (const std::string& member : members)
    for (size_t length = 0; length <= member.size(); ++length) beginnings.insert(member.substr(0, length));
  int64_t compared = 0;
  for (const std::string& beginning : beginnings) {
    if (beginning.size() > longest) continue;
    TokenMasks::Position position = masks.start();
    ASSERT_TRUE(masks.advance(position, beginning)) << beginning;
    const std::shared_ptr<const TokenMask> mask = masks.mask(position);
    EXPECT_EQ(mask->may_end, members.contains(beginning)) << beginning;
    for (int32_t token = 1; token < tokenizer->vocab_size(); ++token, ++compared)
      ASSERT_EQ(mask->allows(token), beginnings.contains(beginning + std::string(tokenizer->bytes_of(token))))
          << '"' << beginning << "\" and \"" << tokenizer->bytes_of(token) << '"';
  }
  EXPECT_GT(compared, 1000);
}

TEST(TokenMasks, AreTrueForBracketsInBrackets) {
  const Grammar::Ptr grammar = Grammar::from_gbnf("root ::= (\"(\" root \")\" | \"[\" root \"]\")*");
  std::set<std::string> members{""};
  for (int round = 0; round < 4; ++round) {
    std::set<std::string> longer = members;
    for (const std::string& a : members)
      for (const std::string& b : members)
        if (a.size() + b.size() <= 8) longer.insert({"(" + a + ")" + b, "[" + a + "]" + b});
    members = longer;
  }
  expect_true_masks(grammar, members, "()[]x", 1);
}

TEST(TokenMasks, AreTrueForAJsonSchema) {
  const Grammar::Ptr grammar = Grammar::from_json_schema_text(
      R"({"type": "array", "items": {"enum": [1, 12, "a", null, -3]}, "minItems": 1, "maxItems": 3})");
  const std::vector<std::string> items = {"1", "12", "\"a\"", "null", "-3"};
  std::set<std::string> members;
  for (const std::string& a : items) {
    members.insert("[" + a + "]");
    for (const std::string& b : items) {
      members.insert("[" + a + ", " + b + "]");
      for (const std::string& c : items) members.insert("[" + a + ", " + b + ", " + c + "]");
    }
  }
  expect_true_masks(grammar, members, "[], 12\"a", 30);
}

TEST(TokenMasks, AreTrueForAnObject) {
  const Grammar::Ptr grammar =
      Grammar::from_json_schema_text(R"({"type": "object", "properties": {"a": {"enum": [1, 2]},
      "b": {"const": "x"}, "ab": {"type": "boolean"}}, "required": ["b"], "additionalProperties": false})",
                                     {.white_space = WhiteSpace::compact});
  std::set<std::string> members;
  for (const char* a : {"", "\"a\":1,", "\"a\":2,"})
    for (const char* ab : {"", ",\"ab\":true", ",\"ab\":false"})
      members.insert(std::string("{") + a + "\"b\":\"x\"" + ab + "}");
  expect_true_masks(grammar, members, "{}\"abx:,1t", 40);
}

TEST(TokenMasks, AreTrueForCountsOfRepetitions) {
  for (const char* text : {"root ::= \"a\"{2,5} \"b\"?", "root ::= (\"a\" | \"ab\"){2,3}",
                           "root ::= \"b\"* \"a\"{3}", "root ::= [ab]+ \"b\" [ab]"}) {
    const Grammar::Ptr grammar = Grammar::from_gbnf(text);
    std::set<std::string> members;
    for (int bits = 0; bits < 1 << 11; ++bits)
      for (int length = 0; length <= 10; ++length) {
        std::string word;
        for (int i = 0; i < length; ++i) word += (bits >> i & 1) != 0 ? 'a' : 'b';
        Matcher matcher(grammar);
        if (matcher.accept(word) && matcher.may_end()) members.insert(word);
      }
    expect_true_masks(grammar, members, "abc", 4);
  }
}

// Goes through texts at random; at each step the mask must be what reading every token byte by byte gives.
void expect_masks_of_reading(const Grammar::Ptr& grammar, const TokenizerPtr& tokenizer, int steps,
                             uint64_t seed) {
  TokenMasks masks(grammar, std::make_shared<const TokenTrie>(*tokenizer));
  TokenMasks::Position position = masks.start();
  Matcher matcher(grammar);
  Random random(seed);
  for (int step = 0; step < steps; ++step) {
    const std::shared_ptr<const TokenMask> mask = masks.mask(position);
    std::vector<int32_t> allowed;
    for (int32_t token = 1; token < tokenizer->vocab_size(); ++token) {
      const std::string_view bytes = tokenizer->bytes_of(token);
      if (bytes.empty()) continue;
      Matcher copy = matcher;
      const bool reads = copy.accept(bytes);
      ASSERT_EQ(mask->allows(token), reads) << "step " << step << ", token " << token << ", seed " << seed;
      if (reads) allowed.push_back(token);
    }
    ASSERT_EQ(mask->may_end, matcher.may_end());
    if (allowed.empty()) {
      ASSERT_TRUE(matcher.may_end()) << "a dead end, seed " << seed;
      position = masks.start();
      matcher = Matcher(grammar);
      continue;
    }
    const int32_t token = allowed[static_cast<size_t>(random.below(std::ssize(allowed)))];
    ASSERT_TRUE(masks.advance(position, tokenizer->bytes_of(token)) &&
                matcher.accept(tokenizer->bytes_of(token)));
  }
}

std::vector<Grammar::Ptr> various_grammars() {
  return {Grammar::any_json_object(WhiteSpace::free), Grammar::from_regex(R"((\d{1,3}\.){3}\d{1,3}|[^\d]+)"),
          Grammar::from_json_schema_text(
              R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 300},
              "age": {"type": "integer", "minimum": 0, "maximum": 150}, "mail": {"format": "email", "type": "string"},
              "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{1,8}$"}, "maxItems": 4}},
              "required": ["name", "tags"]})"),
          Grammar::after_triggers(Grammar::any_json_object(), std::vector<std::string>{"<tool>", "<call>"},
                                  true)};
}

TEST(TokenMasks, EqualReadingEveryToken) {
  const TokenizerPtr tokenizer =
      vocabulary_of({"{\"", "\": ",    "\", \"", "\"}", "name", "age",  "tags",     "ag",  "e\"",
                     " \"", "the",     " the",   "[\"", "12",   "€",    "\xe2\x82", "\\u", "\\n",
                     "00",  "<tool>{", "<to",    "ol>", "true", "null", "}}",       "]}",  "@e"});
  for (const Grammar::Ptr& grammar : various_grammars()) expect_masks_of_reading(grammar, tokenizer, 300, 1);
}

TEST(TokenMasks, EqualReadingEveryTokenOfTheWorldVocabularyLong) {
  const std::optional<std::string> text = shared_text("rwkv_vocab_v20230424.txt");
  if (!text) GTEST_SKIP() << "set AVIARY_SHARED to a folder with data/rwkv_vocab_v20230424.txt";
  const TokenizerPtr tokenizer = make_world_tokenizer(*text);
  for (const Grammar::Ptr& grammar : various_grammars()) expect_masks_of_reading(grammar, tokenizer, 40, 2);
}

TEST(TokenMasks, AreComputedOncePerConfiguration) {
  const TokenizerPtr tokenizer = vocabulary_of({"ab", "cd"});
  TokenMasks masks(Grammar::any_json_object(), std::make_shared<const TokenTrie>(*tokenizer));
  TokenMasks::Position position = masks.start();
  ASSERT_TRUE(masks.advance(position, "{\""));
  for (int i = 0; i < 100; ++i) {
    masks.mask(position);
    ASSERT_TRUE(masks.advance(position, "ab"));
  }
  EXPECT_EQ(masks.counts().masks, 100);
  EXPECT_EQ(masks.counts().computed, 1);
}

TEST(TokenMasks, FarCountsShareTheirMask) {
  const TokenizerPtr tokenizer = vocabulary_of({"ab", "abcd"});
  TokenMasks masks(
      Grammar::from_json_schema_text(R"({"type": "string", "minLength": 100, "maxLength": 1000000})"),
      std::make_shared<const TokenTrie>(*tokenizer));
  TokenMasks::Position position = masks.start();
  ASSERT_TRUE(masks.advance(position, "\""));
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(masks.mask(position)->allows('"' + 1), i >= 100) << i;
    ASSERT_TRUE(masks.advance(position, "x"));
  }
  EXPECT_LT(masks.counts().computed, 30);
}

TEST(TokenMasks, ForcedTokensAreThoseOfTheTokenizer) {
  const TokenizerPtr tokenizer =
      vocabulary_of({"na", "name", "{\"", "{\"na", "\":", "\": ", "\": \"", "ame"});
  TokenMasks masks(
      Grammar::from_json_schema_text(R"({"type": "object", "properties": {"name": {"type": "string"}},
      "required": ["name"], "additionalProperties": false})"),
      std::make_shared<const TokenTrie>(*tokenizer));
  const std::vector<int32_t> forced = masks.forced(masks.start(), 10);
  // `": "` at the end is a token that no longer one begins with.
  EXPECT_EQ(tokenizer->decode(forced), "{\"name\": \"");
  EXPECT_EQ(forced, tokenizer->encode("{\"name\": \""));
}

TEST(TokenMasks, ATokenThatMayGrowIsNotForced) {
  // The quote after "a" is certain, but its token may be `":` or `",`.
  const TokenizerPtr tokenizer = vocabulary_of({"\",", "\"]", "[\"", "\"a"});
  TokenMasks masks(
      Grammar::from_json_schema_text(R"({"type": "array", "items": {"const": "a"}, "minItems": 1})",
                                     {.white_space = WhiteSpace::compact}),
      std::make_shared<const TokenTrie>(*tokenizer));
  EXPECT_EQ(tokenizer->decode(masks.forced(masks.start(), 10)), "[\"a");
}

}  // namespace
}  // namespace aviary
