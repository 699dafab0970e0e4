#include "base/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"

namespace aviary {
namespace {

std::string complaint(std::string_view text) {
  try {
    parse_json(text, "a.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Json, ReadsWhatIsValidAndKeepsTheOrderWhereAsked) {
  EXPECT_EQ(parse_json(R"({"b": [1, 2], "a": "x"})", "a.json").at("b").at(1), 2);
  EXPECT_EQ(parse_ordered_json(R"({"b": 1, "a": 2})", "a.json").dump(), R"({"b":1,"a":2})");
  EXPECT_EQ(try_parse_json("[1]")->size(), 1u);
}

TEST(Json, RefusesWhatIsNotJson) {
  const std::string cut = " (is the file cut off?)";
  for (const auto& [text, place] :
       std::vector<std::pair<const char*, std::string>>{{"", "0 on" + cut},
                                                        {"{", "1 on" + cut},
                                                        {"{\"a\": \"b", "8 on" + cut},
                                                        {"{\"a\": \"\xff\"}", "7 on"},
                                                        {"[1] 2", "4 on"},
                                                        {"{\"a\": 1},", "8 on"},
                                                        {"[1 2]", "3 on"}}) {
    EXPECT_EQ(complaint(text), "a.json: not valid JSON from byte " + place);
    EXPECT_EQ(try_parse_json(text), std::nullopt) << text;
    EXPECT_THROW(parse_ordered_json(text, ""), Error) << text;
  }
}

TEST(Json, RefusesAKeyThatOccursTwiceInAnObjectWhereAsked) {
  auto complaint_of = [](const char* text) -> std::string {
    try {
      parse_json(text, "a.json", Keys::distinct);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  for (const char* text : {R"({"a": 1, "a": 1})", R"([{"b": {"c": 1}, "a": {"x": 1, "a": 2}, "a": 3}])",
                           R"({"x": [{"a": 1}, {"a": 1, "b": [], "a": {}}]})"}) {
    EXPECT_EQ(complaint_of(text), "a.json: an object has the key 'a' twice") << text;
    EXPECT_EQ(complaint(text), "no error") << text;
  }
  EXPECT_EQ(complaint_of(R"({"a": {"a": [{"a": 1}, {"a": 2}]}, "b": {"a": 3}})"), "no error");
}

TEST(Json, RefusesANumberThatIsTooLarge) {
  EXPECT_EQ(complaint("[1, 1e999]"), "a.json: not valid JSON: a number is too large for any type");
  EXPECT_EQ(try_parse_json("1e999"), std::nullopt);
  EXPECT_THROW(parse_ordered_json("{\"a\": -1e999}", ""), Error);
  EXPECT_EQ(complaint("[1, 18446744073709551616, 1e-999]"), "no error");
}

TEST(Json, RefusesWhatIsNestedTooDeepBeforeItTakesMemory) {
  const std::string arrays(1'000'000, '[');
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  for (const std::string& text : {arrays, objects}) {
    EXPECT_EQ(complaint(text), "a.json: the JSON is nested more than 16 deep");
    EXPECT_THROW(parse_ordered_json(text, ""), Error);
    EXPECT_EQ(try_parse_json(text), std::nullopt);
  }
  EXPECT_EQ(complaint(std::string(16, '[') + std::string(16, ']')), "no error");
}

TEST(Json, IsNestedAsDeeplyAsTheCallerAllows) {
  auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']');
  };
  EXPECT_NO_THROW(parse_ordered_json(nested(64), "a.json", 64));
  EXPECT_THROW(parse_ordered_json(nested(66), "a.json", 64), Error);
  EXPECT_THROW(parse_ordered_json(nested(18), "a.json"), Error);
  EXPECT_NO_THROW(parse_json(nested(64), "a.json", Keys::distinct, 64));
  EXPECT_THROW(parse_json(nested(66), "a.json", Keys::distinct, 64), Error);
}

TEST(Json, OrderedObjectsWithTooManyMembersAreRefused) {
  auto object = [](int members) {
    std::string text = "{";
    for (int i = 0; i < members; ++i) text += fmt::format("{}\"{}\":1", i == 0 ? "" : ",", i);
    return text + "}";
  };
  EXPECT_EQ(parse_ordered_json(object(5000), "a.json").size(), 5000u);
  EXPECT_THROW(parse_ordered_json(object(9000), "a.json"), Error);
  EXPECT_EQ(parse_json(object(9000), "a.json").size(), 9000u);
}

TEST(Json, RefusesALongTextWhereAShortOneIsExpected) {
  const std::string longest = "\"" + std::string((1 << 20) - 2, 'x') + "\"";
  EXPECT_EQ(parse_short_json(longest, "").get<std::string>().size(), longest.size() - 2);
  EXPECT_THROW(parse_short_json(longest + " ", ""), Error);
}

}  // namespace
}  // namespace aviary
