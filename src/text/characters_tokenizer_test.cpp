#include <gtest/gtest.h>

#include "base/error.h"
#include "text/tokenizer.h"

namespace aviary {
namespace {

using Ids = std::vector<int32_t>;

constexpr const char* small = R"({"0": "\n", "1": " ", "2": "a", "4": "é", "3": "你", "9": "😀"})";

std::string characters_complaint(std::string_view json) {
  try {
    make_characters_tokenizer(json);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(CharactersTokenizer, GivesEachCharacterItsId) {
  auto tokenizer = make_characters_tokenizer(small);
  EXPECT_EQ(tokenizer->encode("a 你é\n😀"), (Ids{2, 1, 3, 4, 0, 9}));
  EXPECT_EQ(tokenizer->decode(Ids{9, 0, 4}), "😀\né");
  EXPECT_EQ(tokenizer->vocab_size(), 10);
  EXPECT_EQ(tokenizer->bytes_of(5), "");
  EXPECT_EQ(tokenizer->bytes_of(10), "");
  EXPECT_EQ(tokenizer->end_of_text(), std::nullopt);
  EXPECT_EQ(tokenizer->kind(), "characters");
  EXPECT_THROW(tokenizer->bytes_of(-1), Error);
}

TEST(CharactersTokenizer, ReadsBothDirectionsAndSurvivesSerialization) {
  auto tokenizer = make_characters_tokenizer(small);
  auto other_way =
      make_characters_tokenizer(R"({"a":2,"\u00e9":4,"\u4f60":3,"\ud83d\ude00":9," ":1,"\n":0})");
  EXPECT_EQ(other_way->serialize(), tokenizer->serialize());
  auto again = make_tokenizer("characters", tokenizer->serialize());
  EXPECT_EQ(again->hash(), tokenizer->hash());
  EXPECT_EQ(again->serialize(), tokenizer->serialize());
}

TEST(CharactersTokenizer, AnUnknownCharacterIsReportedWithItsPosition) {
  auto tokenizer = make_characters_tokenizer(small);
  for (const auto& [text, part] :
       std::initializer_list<std::pair<std::string, std::string>>{{"a b", "\"b\" in line 1, column 3"},
                                                                  {"é\n\né你ö", "\"ö\" in line 3, column 3"},
                                                                  {"a\xff", "\"\\xff\" in line 1, column 2"},
                                                                  {"a\xe4\xbd", "\"\\xe4\\xbd\" in line 1"},
                                                                  {"\t", "\"\\x09\" in line 1, column 1"}}) {
    try {
      tokenizer->encode(text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }
}

TEST(CharactersTokenizer, RejectsAnythingButSuchAVocabulary) {
  for (const auto& [json, part] : std::initializer_list<std::pair<std::string, std::string>>{
           {"", "not valid JSON"},
           {"[]", "expected an object"},
           {"{}", "expected an object"},
           {R"({"0": "the"})", "expected one character"},
           {R"({"0": ""})", "expected one character"},
           {R"({"the": 0})", "tokenizer.json"},
           {R"({"a": "b"})", "\"a\" is not an id"},
           {R"({"-1": "b"})", "\"-1\" is not an id"},
           {R"({"1 ": "b"})", "is not an id"},
           {R"({"99999999999999999999": "b"})", "is not an id"},
           {R"({"9999999": "b"})", "expected 0 to 1048575"},
           {R"({"b": 18446744073709551615})", "expected 0 to 1048575"},
           {R"({"b": -1})", "expected a character or an id"},
           {R"({"b": 1.5})", "expected a character or an id"},
           {R"({"b": null})", "expected a character or an id"},
           {R"({"1": "a", "01": "b"})", "id 1 is given twice"},
           {R"({"1": "a", "2": "a"})", "\"a\" has the ids 1 and 2"},
           {R"({"a": [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]})", "nested"}})
    EXPECT_NE(characters_complaint(json).find(part), std::string::npos)
        << json << " gave: " << characters_complaint(json);
}

}  // namespace
}  // namespace aviary
