#include "serve/json_fields.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "serve/service.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

// The message and, in brackets, the field that it is about.
std::string complaint(const std::function<void()>& read) {
  try {
    read();
  } catch (const TaskFailure& failure) {
    EXPECT_EQ(failure.error().kind, TaskError::Kind::bad_request);
    return failure.error().message + " [" + failure.error().param + "]";
  }
  return "nothing";
}

TEST(JsonFields, AbsentAndNullAreNothing) {
  const Json json = parse_request(R"({"a": null})");
  const Fields fields(json);
  for (const char* name : {"a", "b"}) {
    EXPECT_FALSE(fields.has(name));
    EXPECT_FALSE(fields.text(name) || fields.flag(name) || fields.integer(name, 0, 1) ||
                 fields.number(name, 0, 1) || fields.object(name));
    EXPECT_TRUE(fields.objects(name).empty() && fields.texts(name).empty());
  }
}

TEST(JsonFields, ReadsValues) {
  const Json json = parse_request(
      R"({"text": "x", "flag": true, "integer": 3, "whole": 4.0, "number": 0.5, "object": {"z": 1, "a": "y"},
          "objects": [{"k": 1}], "texts": ["a", "b"], "one": "c", "word": "b"})");
  const Fields fields(json);
  EXPECT_EQ(fields.text("text"), "x");
  EXPECT_EQ(fields.flag("flag"), true);
  EXPECT_EQ(fields.integer("integer", 0, 3), 3);
  EXPECT_EQ(fields.integer("whole", 0, 9), 4);
  EXPECT_EQ(fields.number("number", 0, 1), 0.5);
  EXPECT_EQ(fields.number("integer", 0, 9), 3);
  EXPECT_EQ(fields.object("object")->text("a"), "y");
  EXPECT_EQ(json_text(fields.object("object")->json()), R"({"z":1,"a":"y"})");
  EXPECT_EQ(fields.objects("objects").at(0).integer("k", 0, 9), 1);
  EXPECT_EQ(fields.texts("texts"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(fields.texts("one"), (std::vector<std::string>{"c"}));
  EXPECT_EQ(fields.word("word", {"a", "b"}), "b");
}

TEST(JsonFields, ComplainsWithThePath) {
  const Json json = parse_request(
      R"({"n": -1, "big": 1e30, "half": 1.5, "t": 3, "list": [{"content": 5}, "x"], "texts": ["a", {}],
          "object": {"inner": []}, "huge": 18446744073709551615})");
  const Fields fields(json);
  constexpr int64_t no_limit = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(complaint([&] { fields.integer("n", 0, no_limit); }),
            "n: expected a whole number of at least 0, got the number -1 [n]");
  EXPECT_EQ(complaint([&] { fields.integer("half", 0, 9); }),
            "half: expected a whole number from 0 to 9, got the number 1.5 [half]");
  EXPECT_NE(complaint([&] { fields.integer("big", 0, no_limit); }), "nothing");
  EXPECT_NE(complaint([&] { fields.integer("huge", 0, no_limit); }), "nothing");
  EXPECT_EQ(complaint([&] { fields.number("n", 0, 2); }),
            "n: expected a number from 0 to 2, got the number -1 [n]");
  EXPECT_EQ(complaint([&] { fields.text("t"); }), "t: expected a text, got the number 3 [t]");
  EXPECT_EQ(complaint([&] { fields.required_text("none"); }),
            "none: expected a text, but it is missing [none]");
  EXPECT_EQ(complaint([&] { fields.objects("list"); }), "list[1]: expected an object, got a text [list[1]]");
  EXPECT_EQ(complaint([&] { Fields(json["list"][0], "messages[0]").text("content"); }),
            "messages[0].content: expected a text, got the number 5 [messages[0].content]");
  EXPECT_EQ(complaint([&] { fields.texts("texts"); }), "texts[1]: expected a text, got an object [texts[1]]");
  EXPECT_EQ(complaint([&] { fields.object("object")->flag("inner"); }),
            "object.inner: expected true or false, got a list [object.inner]");
  EXPECT_EQ(complaint([&] { Fields(Json("x")); }),
            "the body of the request: expected an object, got a text [the body of the request]");
}

TEST(JsonFields, AWordIsOneOfAList) {
  const Json json = parse_request(R"({"a": "x\n"})");
  EXPECT_EQ(complaint([&] {
              Fields(json).word("a", {"b", "c"});
            }),
            "a: expected one of \"b\", \"c\", got 'x\\n' [a]");
}

TEST(JsonFields, ABodyMustBeJson) {
  EXPECT_EQ(complaint([] { parse_request("{"); }),
            "the body of the request: not valid JSON from byte 1 on (is the file cut off?) []");
  EXPECT_NE(complaint([] { parse_request("{\"a\": \"\\ud800\"}"); }), "nothing");
  std::string deep(70, '[');
  EXPECT_EQ(complaint([&] { parse_request(deep + std::string(70, ']')); }),
            "the body of the request: the JSON is nested more than 64 deep []");
}

TEST(JsonFields, APromptIsATextOrTokens) {
  auto prompts = [](const char* text) { return prompts_of(parse_request(text), "prompt"); };
  EXPECT_EQ(prompts(R"("a")"), (std::vector<Prompt>{"a"}));
  EXPECT_EQ(prompts("[1, 2]"), (std::vector<Prompt>{std::vector<int32_t>{1, 2}}));
  EXPECT_EQ(prompts(R"(["a", "b"])"), (std::vector<Prompt>{"a", "b"}));
  EXPECT_EQ(prompts(R"([[1], "b"])"), (std::vector<Prompt>{std::vector<int32_t>{1}, "b"}));
  for (const char* wrong :
       {"{}", "3", "[]", "[1, \"a\"]", "[1, -1]", "[[1.5]]", "[[[1]]]", "[1, 4294967296]"})
    EXPECT_NE(complaint([&] { prompts(wrong); }), "nothing") << wrong;
}

TEST(JsonFields, TextThatIsNotUtf8IsReplaced) { EXPECT_EQ(json_text(Json("a\xff")), "\"a\xef\xbf\xbd\""); }

}  // namespace
}  // namespace aviary
