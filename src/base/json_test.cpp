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
  for (const auto& [text, byte] : std::vector<std::pair<const char*, int>>{
           {"", 0}, {"{", 1}, {"{\"a\": \"\xff\"}", 7}, {"[1] 2", 4}, {"[1 2]", 3}}) {
    EXPECT_EQ(complaint(text),
              fmt::format("a.json: not valid JSON from byte {} on (is the file cut off?)", byte));
    EXPECT_EQ(try_parse_json(text), std::nullopt) << text;
    EXPECT_THROW(parse_ordered_json(text, ""), Error) << text;
  }
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

}  // namespace
}  // namespace aviary
