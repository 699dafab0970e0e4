#include "grammar/grammar_constraint.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "infer/writer.h"
#include "text/vocabulary.h"

namespace aviary {
namespace {

TokenizerPtr vocabulary() {
  std::string lines;
  int32_t id = 1;
  for (int byte = 0; byte < 256; ++byte)
    lines += vocabulary_line(id++, std::string(1, static_cast<char>(byte)));
  for (const char* token :
       {"{\"", "\": ", "\": \"", "\", \"", "\"}", "name", "na", "me", "age", "}", "12", "\", ", "the"})
    if (std::string_view(token).size() > 1) lines += vocabulary_line(id++, token);
  return make_world_tokenizer(lines);
}

constexpr const char* person =
    R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 20},
    "age": {"type": "integer", "minimum": 0, "maximum": 150}}, "required": ["name", "age"], "additionalProperties": false})";

// Writes a text with logits at random, the same for the same seed and position; the logits of the end of text
// are high.
struct Written {
  std::string text;
  std::vector<int32_t> tokens;
  TextEnd end = TextEnd::none;
  int64_t without_logits = 0;
};
Written write(const Tokenizer& tokenizer, std::unique_ptr<Constraint> constraint, uint64_t seed,
              bool skip_forced, int64_t most = 300) {
  const WriterOptions options{.tokens = most, .sampling = {.temperature = 1, .top_p = 1, .seed = seed}};
  Writer writer(tokenizer, options, std::move(constraint));
  Written result;
  while (!writer.ended()) {
    std::vector<float> logits(static_cast<size_t>(tokenizer.vocab_size()) + 3);
    Random random(seed * 1000 + static_cast<uint64_t>(writer.tokens()));
    for (float& logit : logits) logit = static_cast<float>(4 * random.uniform());
    logits[0] = 8;
    const bool skip = skip_forced && writer.is_forced();
    const Writer::Piece piece = skip ? writer.push_forced() : writer.push(logits);
    result.text += piece.text;
    result.tokens.push_back(piece.token);
    result.without_logits += skip;
  }
  result.end = writer.end();
  return result;
}

TEST(GrammarConstraint, EveryTextIsAnInstance) {
  const TokenizerPtr tokenizer = vocabulary();
  const auto masks = std::make_shared<TokenMasks>(Grammar::from_json_schema_text(person),
                                                  std::make_shared<const TokenTrie>(*tokenizer));
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Written text = write(*tokenizer, std::make_unique<GrammarConstraint>(masks), seed, true);
    EXPECT_EQ(text.end, TextEnd::end_of_text) << text.text;
    const auto json = parse_json(text.text, "the text");
    EXPECT_TRUE(json["name"].is_string() && json["age"].get<int>() >= 0 && json["age"].get<int>() <= 150)
        << text.text;
  }
}

TEST(GrammarConstraint, ForcedTokensChangeNothing) {
  const TokenizerPtr tokenizer = vocabulary();
  const auto masks = std::make_shared<TokenMasks>(Grammar::from_json_schema_text(person),
                                                  std::make_shared<const TokenTrie>(*tokenizer));
  int64_t forced = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Written slow = write(*tokenizer, std::make_unique<GrammarConstraint>(masks), seed, false);
    const Written fast = write(*tokenizer, std::make_unique<GrammarConstraint>(masks), seed, true);
    EXPECT_EQ(fast.tokens, slow.tokens);
    EXPECT_EQ(fast.text, slow.text);
    EXPECT_EQ(slow.without_logits, 0);
    forced += fast.without_logits;
  }
  EXPECT_GE(forced, 50 * 3) << "at least {\", name and \": \" are certain";
}

TEST(GrammarConstraint, TheEndComesOnlyWhereTheGrammarMayEnd) {
  const TokenizerPtr tokenizer = vocabulary();
  const auto masks = std::make_shared<TokenMasks>(Grammar::from_regex("a+b?"),
                                                  std::make_shared<const TokenTrie>(*tokenizer));
  GrammarConstraint constraint(masks);
  auto allowed = [&](int32_t token) {
    std::vector<float> logits(static_cast<size_t>(tokenizer->vocab_size()), 1.0f);
    constraint.allow(logits);
    return logits[static_cast<size_t>(token)] == 1.0f;
  };
  EXPECT_FALSE(allowed(0));
  constraint.accept('a' + 1);
  EXPECT_TRUE(allowed(0) && allowed('a' + 1) && allowed('b' + 1) && !allowed('c' + 1));
  EXPECT_FALSE(constraint.complete());
  EXPECT_THROW(constraint.accept('c' + 1), Error);
  constraint.accept('b' + 1);
  EXPECT_TRUE(constraint.complete());
  EXPECT_TRUE(allowed(0) && !allowed('a' + 1));
}

TEST(GrammarConstraint, ATextCutByItsLimitIsTold) {
  const TokenizerPtr tokenizer = vocabulary();
  const auto masks = std::make_shared<TokenMasks>(Grammar::from_json_schema_text(person),
                                                  std::make_shared<const TokenTrie>(*tokenizer));
  EXPECT_EQ(write(*tokenizer, std::make_unique<GrammarConstraint>(masks), 1, true, 2).end, TextEnd::length);
}

TEST(GrammarConstraint, ALazyGrammarLeavesTheTextFree) {
  const TokenizerPtr tokenizer = vocabulary();
  const Grammar::Ptr grammar =
      Grammar::after_triggers(Grammar::from_regex("[0-9]{3}!"), std::vector<std::string>{"the"}, false);
  const auto masks = std::make_shared<TokenMasks>(grammar, std::make_shared<const TokenTrie>(*tokenizer));
  GrammarConstraint constraint(masks);
  std::vector<float> logits(static_cast<size_t>(tokenizer->vocab_size()), 1.0f);
  constraint.allow(logits);
  EXPECT_EQ(std::count(logits.begin(), logits.end(), 1.0f), tokenizer->vocab_size())
      << "all tokens, and the end";
  for (const int32_t token : tokenizer->encode("ok the")) constraint.accept(token);
  constraint.allow(logits);
  EXPECT_EQ(std::count(logits.begin(), logits.end(), 1.0f), 11) << "ten digits and 12";
  for (const int32_t token : tokenizer->encode("123")) constraint.accept(token);
  EXPECT_EQ(tokenizer->decode(constraint.forced()), "!");
}

}  // namespace
}  // namespace aviary
