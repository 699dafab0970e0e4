#include "chat/json_scanner.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/random.h"

namespace aviary {
namespace {

using State = JsonScanner::State;

State scanned(const std::string& text) {
  JsonScanner scanner;
  State state = State::open;
  for (size_t i = 0; i < text.size() && state == State::open; ++i) {
    state = scanner.push(text[i]);
    EXPECT_TRUE(state != State::complete || i + 1 == text.size()) << text;
  }
  return state;
}

TEST(JsonScanner, FindsTheEndOfAValue) {
  for (const char* text :
       {"{}", "[]", R"({"a": [1, -2.5e3, true, null, "x\"}\u00e4"], "b": {}})", "[ [ ] , { } ]"})
    EXPECT_EQ(scanned(text), State::complete) << text;
  for (const char* text : {"", "{", R"({"a)", R"({"a": 1)", "[tru"})
    EXPECT_EQ(scanned(text), State::open) << text;
}

TEST(JsonScanner, WhatIsNotJsonBreaksTheValue) {
  for (const char* text :
       {"1 ", "\"a\"", "x", "[1 2]", "{1", "{a", "{\"a\",", "{\"a\":}", "[1,]", "{\"a\":1,}", "[tru]", "[1.]",
        "[--1]", "[\"\\x", "[\"\\u12g", "[\"\n", "[}", "{]", "[01]"})
    EXPECT_EQ(scanned(text), State::broken) << text;
  EXPECT_EQ(scanned(std::string(100, '[')), State::broken);
}

// One byte of valid JSON is replaced: the scanner accepts what the parser accepts.
TEST(JsonScanner, AgreesWithTheParser) {
  const std::string valid = R"({"a":[1,-2.5e3,true,null,"x\"\u00e4\n"],"b":{"c":"d"},"e":[[],{}]})";
  const std::string bytes = "{}[]\",:1-.eE+tn \\u\n";
  Random random(1);
  int accepted = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string text = valid;
    text[static_cast<size_t>(random.below(static_cast<int64_t>(text.size())))] =
        bytes[static_cast<size_t>(random.below(static_cast<int64_t>(bytes.size())))];
    JsonScanner scanner;
    size_t length = 0;
    while (length < text.size() && scanner.push(text[length]) == State::open) ++length;
    const bool whole = length + 1 == text.size() && scanner.push(' ') == State::complete;
    ASSERT_EQ(whole, try_parse_json(text).has_value()) << text;
    accepted += whole ? 1 : 0;
  }
  EXPECT_GT(accepted, 200);
}

}  // namespace
}  // namespace aviary
