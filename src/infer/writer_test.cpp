#include "infer/writer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"

namespace aviary {
namespace {

// Logits that determine the choice.
std::vector<float> only(int32_t token, size_t vocabulary = 256) {
  std::vector<float> logits(vocabulary, 0);
  logits[static_cast<size_t>(token)] = 100;
  return logits;
}

// The pieces of a text whose model predicts these bytes.
std::vector<std::string> pieces(Writer& writer, std::string_view bytes) {
  std::vector<std::string> shown;
  for (const char c : bytes) {
    if (writer.ended()) break;
    std::vector<float> logits = only(static_cast<unsigned char>(c));
    shown.push_back(writer.push(logits).text);
  }
  return shown;
}

using Pieces = std::vector<std::string>;

TEST(Writer, ShowsWholeCharactersAndCountsTokens) {
  const TokenizerPtr bytes = make_bytes_tokenizer();
  Writer writer(*bytes, {.tokens = 3});
  EXPECT_EQ(pieces(writer, "a\xc3\xa9 more"), (Pieces{"a", "", "\xc3\xa9"}));
  EXPECT_EQ(writer.end(), TextEnd::length);
  EXPECT_EQ(writer.tokens(), 3);
}

TEST(Writer, ExactBytesAreShownAsTheyAre) {
  const TokenizerPtr bytes = make_bytes_tokenizer();
  Writer writer(*bytes, {.tokens = 4, .stop = {"!"}, .exact_bytes = true});
  EXPECT_EQ(pieces(writer, "a\xc3\xff\x1b"), (Pieces{"a", "\xc3", "\xff", "\x1b"}));
}

TEST(Writer, AStopStringIsFoundAcrossTokensAndNeverShown) {
  const TokenizerPtr bytes = make_bytes_tokenizer();
  Writer writer(*bytes, {.stop = {"end", "never"}});
  EXPECT_EQ(pieces(writer, "an en end!"), (Pieces{"a", "", "n ", "", "", "en ", "", "", ""}));
  EXPECT_EQ(writer.end(), TextEnd::stop);
  Writer cut(*bytes, {.tokens = 3, .stop = {"end"}});
  EXPECT_EQ(pieces(cut, "aen"), (Pieces{"a", "", "en"})) << "the limit shows what was held back";
  Writer half(*bytes, {.tokens = 2});
  EXPECT_EQ(pieces(half, "a\xc3"), (Pieces{"a", "\xef\xbf\xbd"}));
}

TEST(Writer, TheEndOfTextEndsItAndCountsForNoToken) {
  std::string vocabulary;  // token 1 + b is the byte b, token 0 the end of text
  for (int byte = 0; byte < 256; ++byte) vocabulary += fmt::format("{} b'\\x{:02x}' 1\n", byte + 1, byte);
  const TokenizerPtr world = make_world_tokenizer(vocabulary);
  for (const bool stops : {true, false}) {
    Writer writer(*world, {.stop = {"ab"}, .stop_at_end_of_text = stops});
    std::vector<float> a = only(1 + 'a', 257), end = only(0, 257);
    EXPECT_EQ(writer.push(a).text, "");
    const Writer::Piece piece = writer.push(end);
    EXPECT_EQ(piece.token, 0);
    EXPECT_EQ(piece.text, stops ? "a" : "");
    EXPECT_EQ(writer.end(), stops ? TextEnd::end_of_text : TextEnd::none);
    EXPECT_EQ(writer.tokens(), stops ? 1 : 2);
  }
}

TEST(Writer, NoTokensAreAText) {
  const TokenizerPtr bytes = make_bytes_tokenizer();
  const Writer writer(*bytes, {.tokens = 0});
  EXPECT_EQ(writer.end(), TextEnd::length);
}

TEST(Writer, CanBeMovedInTheMiddleOfACharacter) {
  const TokenizerPtr bytes = make_bytes_tokenizer();
  Writer first(*bytes, {.stop = {"!"}});
  EXPECT_EQ(pieces(first, "\xc3"), (Pieces{""}));
  Writer second = std::move(first);
  EXPECT_EQ(pieces(second, "\xa9!"), (Pieces{"\xc3\xa9", ""}));
  EXPECT_EQ(second.end(), TextEnd::stop);
}

// Allows exactly three digits.
class ThreeDigits : public Constraint {
 public:
  explicit ThreeDigits(std::string& accepted) : accepted_(accepted) {}
  void allow(std::span<float> logits) override {
    for (size_t token = 0; token < logits.size(); ++token)
      if (token < '0' || token > '9') logits[token] = -std::numeric_limits<float>::infinity();
    if (accepted_.size() == 3) std::ranges::fill(logits, -std::numeric_limits<float>::infinity());
  }
  void accept(int32_t token) override { accepted_ += static_cast<char>(token); }

 private:
  std::string& accepted_;
};

TEST(Writer, AConstraintDecidesWhatMayComeNext) {
  const TokenizerPtr bytes = make_bytes_tokenizer();
  std::string accepted;
  Writer writer(*bytes, {.sampling = {.top_p = 0.5}}, std::make_unique<ThreeDigits>(accepted));
  std::string text;
  for (int i = 0; i < 3; ++i) {
    std::vector<float> logits = only('x');
    logits['7'] = 50;  // the filters apply only to digits
    text += writer.push(logits).text;
  }
  EXPECT_EQ(text, "777");
  EXPECT_EQ(accepted, "777");
  std::vector<float> logits = only('x');
  EXPECT_THROW(writer.push(logits), Error) << "a constraint that allows nothing";
}

TEST(Writer, SaysWhatIsWrongWithTheOptions) {
  const TokenizerPtr bytes = make_bytes_tokenizer();
  EXPECT_THROW(Writer(*bytes, {.tokens = -1}), Error);
  EXPECT_THROW(Writer(*bytes, {.sampling = {.top_p = 2}}), Error);
  EXPECT_THROW(Writer(*bytes, {.stop = {""}}), Error);
}

}  // namespace
}  // namespace aviary
