// JSON Schema: what is accepted, spelled with ", " and ": ", and what is refused.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "grammar/grammar.h"
#include "grammar/matcher.h"

namespace aviary {
namespace {

bool accepts(const Grammar::Ptr& grammar, std::string_view text) {
  Matcher matcher(grammar);
  return matcher.accept(text) && matcher.may_end();
}
void expect(std::string_view schema, const std::vector<std::string>& valid,
            const std::vector<std::string>& invalid, const SchemaOptions& options = {}) {
  const Grammar::Ptr grammar = Grammar::from_json_schema_text(schema, options);
  for (const std::string& text : valid) EXPECT_TRUE(accepts(grammar, text)) << schema << "\n" << text;
  for (const std::string& text : invalid) EXPECT_FALSE(accepts(grammar, text)) << schema << "\n" << text;
}
std::string schema_error(std::string_view schema) {
  try {
    Grammar::from_json_schema_text(schema);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Schema, PropertiesComeInTheirOrder) {
  expect(
      R"({"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "boolean"}}, "required": ["a"],
             "additionalProperties": false})",
      {R"({"b": 1, "a": true})", R"({"a": false})"},
      {R"({"a": true, "b": 1})", R"({"b": 1})", R"({})", R"({"a": true, "c": 1})", R"({"a": 1})"});
}

TEST(Schema, FurtherPropertiesFollow) {
  expect(R"({"properties": {"a": {"type": "integer"}}, "patternProperties": {"^x": {"type": "string"}},
             "additionalProperties": {"type": "null"}, "type": "object"})",
         {R"({"a": 1, "xa": "t", "b": null})", R"({"c": null})", R"({})"},
         {R"({"xa": null})", R"({"b": "t"})", R"({"a": null})"});
  expect(R"({"type": "object", "propertyNames": {"pattern": "^[a-c]$"}, "maxProperties": 2})",
         {R"({"a": 1, "b": 2})"}, {R"({"d": 1})", R"({"a": 1, "b": 1, "c": 1})"});
}

TEST(Schema, NamesAndTextsAreEscaped) {
  expect(R"({"type": "object", "properties": {"a\"\n": {"const": "\\\t\u0001é"}}, "required": ["a\"\n"]})",
         {"{\"a\\\"\\n\": \"\\\\\\t\\u0001é\"}"}, {R"({"a": 1})"});
  expect(R"({"type": "string", "minLength": 2, "maxLength": 2})",
         {R"("ab")", R"("€é")", R"("\u00e9\n")", R"("\ud83d\ude00x")"},
         {R"("a")", R"("abc")", R"("\ud83dx")", R"("\ud83d")"});
}

TEST(Schema, WhiteSpaceHasThreeForms) {
  const std::string schema =
      R"({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}})";
  expect(schema, {R"({"a":[1,2]})"}, {R"({"a": [1, 2]})"}, {.white_space = WhiteSpace::compact});
  expect(schema, {R"({"a": [1, 2]})"}, {R"({"a":[1,2]})"}, {.white_space = WhiteSpace::spaced});
  expect(schema, {R"({"a":[1, 2]})", "{\n  \"a\": [\n    1,\n    2\n  ]\n}"},
         {"{\n\n\"a\": []}", "{  \"a\": []}"}, {.white_space = WhiteSpace::free});
}

TEST(Schema, RecursionIsFollowed) {
  expect(
      R"({"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {"value": {"type": "integer"},
             "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "required": ["value"],
             "additionalProperties": false}}})",
      {R"({"value": 1, "children": [{"value": 2}, {"value": 3, "children": []}]})"},
      {R"({"value": 1, "children": [{}]})", R"({"value": 1, "children": [{"value": 2})"});
}

TEST(Schema, AllOfIsMerged) {
  expect(
      R"({"allOf": [{"properties": {"a": {"minimum": 3}}, "required": ["a"]}, {"properties": {"a": {"maximum": 5}}}],
             "properties": {"a": {"type": "integer"}}, "type": "object"})",
      {R"({"a": 3})", R"({"a": 5})"}, {R"({"a": 2})", R"({"a": 6})", R"({"a": 4.5})", R"({})"});
}

TEST(Schema, OneOfMeansExactlyOne) {
  expect(
      R"({"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}, "x": {"type": "integer"}}, "required": ["kind"]},
                       {"type": "object", "properties": {"kind": {"const": "b"}, "x": {"type": "string"}}, "required": ["kind"]}]})",
      {R"({"kind": "a", "x": 1})", R"({"kind": "b", "x": "t"})"},
      {R"({"kind": "a", "x": "t"})", R"({"kind": "c"})"});
  expect(R"({"type": "integer", "oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]})", {"2", "3", "9"},
         {"6", "0", "5"});
  expect(R"({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]})",
         {R"({"a": 1})", R"({"b": 1})"}, {R"({"a": 1, "b": 1})", R"({"b": 1, "a": 1})", R"({})"});
}

TEST(Schema, NotAndIfAreObeyedWhereTheyAreSimple) {
  expect(R"({"type": "string", "not": {"enum": ["a", "b"]}})", {R"("c")", R"("ab")"}, {R"("a")", R"("b")"});
  expect(R"({"type": ["integer", "string"], "not": {"type": "string", "pattern": "x"}})", {"1", R"("abc")"},
         {R"("axb")"});
  expect(R"({"type": "object", "properties": {"c": {"enum": ["de", "us"]}, "zip": {"type": "string"}},
             "required": ["c", "zip"], "if": {"properties": {"c": {"const": "de"}}},
             "then": {"properties": {"zip": {"pattern": "^[0-9]{5}$"}}}})",
         {R"({"c": "de", "zip": "12345"})", R"({"c": "us", "zip": "x"})"}, {R"({"c": "de", "zip": "x"})"});
  EXPECT_EQ(schema_error(R"({"not": {"properties": {"a": {"uniqueItems": true}}}})")
                .find("#/not/properties/a: 'uniqueItems'"),
            0u);
}

TEST(Schema, NumbersAreBounded) {
  expect(R"({"type": "integer", "minimum": -5, "exclusiveMaximum": 12})", {"-5", "0", "11"},
         {"-6", "12", "1.5", "-0"});
  expect(R"({"type": "number", "exclusiveMinimum": 0.5, "maximum": 10})", {"0.51", "10", "9.99", "10.0"},
         {"0.5", "10.01", "0", "-3"});
  expect(R"({"type": "number", "multipleOf": 0.25, "minimum": 0})", {"0", "0.25", "7.5"}, {"0.3", "-0.25"});
  expect(R"({"type": "number"})", {"1e5", "-1.5E-3", "0"}, {"1e400", "01", ".5", "+1", "1.", "NaN"});
}

TEST(Schema, ArraysHaveCountsPrefixesAndContains) {
  expect(
      R"({"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": {"type": "null"}, "type": "array",
             "minItems": 1, "maxItems": 4})",
      {"[1]", R"([1, "a"])", R"([1, "a", null, null])"},
      {"[]", R"(["a"])", R"([1, "a", 1])", R"([1, "a", null, null, null])"});
  expect(
      R"({"type": "array", "items": {"type": ["integer", "string"]}, "contains": {"type": "string"}, "minContains": 2})",
      {R"(["a", 1, "b"])"}, {R"(["a"])", "[1, 2]", R"(["a", null, "b"])"});
  expect(R"({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 5000})", {"[1, 2]"},
         {"[1]"});
}

TEST(Schema, FormatsRestrictTexts) {
  expect(R"({"type": "string", "format": "date"})", {R"("2024-02-29")", R"("2023-12-31")"},
         {R"("2023-02-29")", R"("2023-13-01")", R"("x")"});
  expect(R"({"type": "string", "format": "date-time"})", {R"("2024-02-29T23:59:59.5Z")"},
         {R"("2024-02-29")"});
  expect(R"({"type": "string", "format": "uuid"})", {R"("123e4567-e89b-12d3-a456-426614174000")"},
         {R"("123")"});
  expect(R"({"type": "string", "format": "ipv4", "pattern": "^10\\."})", {R"("10.0.0.1")"},
         {R"("11.0.0.1")"});
  expect(R"({"type": "string", "format": "ipv6"})", {R"("::1")", R"("fe80::1:2")", R"("1:2:3:4:5:6:7:8")"},
         {R"("1:2")"});
  expect(R"({"type": "string", "format": "color"})", {R"("anything")"}, {});
}

TEST(Schema, DependenciesAreObeyed) {
  expect(R"({"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]},
             "additionalProperties": false})",
         {R"({"a": 1, "b": 2})", R"({"b": 2})", "{}"}, {R"({"a": 1})"});
}

// Draft 2020-12 has no `dependencies`: it says nothing there, so what does not satisfy it may satisfy the
// rest.
TEST(Schema, DependenciesOfAnOldDraftExcludeNothing) {
  const std::string rest = R"("oneOf": [{"required": ["a"], "dependencies": {"a": ["b"]}},
             {"required": ["a"], "properties": {"b": false}}],
             "type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": false})";
  expect("{" + rest, {R"({"a": 1, "b": 2})"}, {R"({"a": 1})", R"({"b": 2})"});
  expect(R"({"$schema": "http://json-schema.org/draft-07/schema#", )" + rest,
         {R"({"a": 1, "b": 2})", R"({"a": 1})"}, {R"({"b": 2})"});
  // Where it must not be satisfied, nothing can be.
  EXPECT_EQ(schema_error(R"({"not": {"dependencies": {"a": ["b"]}}})"), "schema: no text can match");
}

TEST(Schema, WhatIsNotSupportedIsNamedWithItsPlace) {
  EXPECT_EQ(schema_error(R"({"properties": {"a/b": {"type": "array", "uniqueItems": true}}})"),
            "#/properties/a~1b: 'uniqueItems' is not supported");
  EXPECT_EQ(schema_error(R"({"items": {"unevaluatedProperties": false}})"),
            "#/items: 'unevaluatedProperties' is not supported");
  EXPECT_EQ(schema_error(R"({"$ref": "other.json"})"),
            "#: '$ref' names 'other.json', which is not in this document");
  EXPECT_EQ(schema_error(R"re({"type": "string", "pattern": "(?=a)"})re"),
            "#/pattern: regular expression '(?=a)': a look-ahead at byte 0 is not supported");
  EXPECT_EQ(schema_error(R"({"type": "integer", "minimum": 3, "maximum": 2})"), "schema: no text can match");
  EXPECT_EQ(schema_error(R"({"type": "sting"})"), "#: 'type' is 'sting', which is no type");
  EXPECT_EQ(schema_error(R"({"$schema": "http://example.com/x"})").find("#: '$schema' names"), 0u);
  EXPECT_NE(schema_error("[1]").find("schema: expected an object, true or false"), std::string::npos);
}

TEST(Schema, SizeIsLimitedNotTimeOut) {
  EXPECT_NE(schema_error(R"re({"type": "string", "pattern": "(a|b)*a(a|b){40}"})re").find("more than"),
            std::string::npos);
  std::string chain = R"({"$ref": "#/$defs/d0", "$defs": {)";
  for (int i = 0; i < 3000; ++i)
    chain += fmt::format(R"("d{}": {{"type": "array", "items": {{"$ref": "#/$defs/d{}"}}}},)", i, i + 1);
  chain += R"("d3000": {"type": "integer"}}})";
  EXPECT_EQ(schema_error(chain), "no error");
  std::string choices = R"({"allOf": [)";
  for (int i = 0; i < 14; ++i) choices += R"({"anyOf": [{"minLength": 1}, {"maxLength": 9}]},)";
  choices += "{}]}";
  EXPECT_NE(schema_error(choices).find("alternatives"), std::string::npos) << schema_error(choices);
}

TEST(Gbnf, DescribesTexts) {
  const Grammar::Ptr grammar = Grammar::from_gbnf(R"(# numbers
root ::= sum ("=" number)? # the answer
  | "none"
sum  ::= number ([+\-] number)*
number ::= [0-9]{1,3} | "x" "\u00e9" | [^\x00-\x7f]
)");
  for (const char* text : {"1+22-333", "7=8", "x\xc3\xa9", "€+1"})
    EXPECT_TRUE(accepts(grammar, text)) << text;
  for (const char* text : {"", "1+", "1234", "none1", "x"}) EXPECT_FALSE(accepts(grammar, text)) << text;
}

TEST(Gbnf, MistakesAreNamedWithTheirPlace) {
  auto error = [](std::string_view text) -> std::string {
    try {
      Grammar::from_gbnf(text);
    } catch (const Error& what) {
      return what.what();
    }
    return "no error";
  };
  EXPECT_EQ(error("root ::= a"), "GBNF: the rule 'a' is used in line 1, but not defined");
  EXPECT_EQ(error("rot ::= \"a\""), "GBNF: there is no rule 'root', with which a text begins");
  EXPECT_EQ(error("root ::= \"a"), "GBNF: a text without its '\"' in line 1, column 12");
  EXPECT_NE(error("root ::= root \"a\" | \"b\"").find("left recursion"), std::string::npos);
  EXPECT_NE(error("root ::= x\nx ::= (\"a\"? root) | \"b\"").find("left recursion"), std::string::npos);
  EXPECT_NE(error("root ::= \"a\" root").find("no text can match"), std::string::npos);
  EXPECT_NE(error("root ::= <[1]>").find("not supported"), std::string::npos);
}

TEST(Grammar, FreeTextGoesOnUntilATrigger) {
  const Grammar::Ptr call = Grammar::from_json_schema_text(R"({"const": {"a": 1}})");
  const std::vector<std::string> triggers = {"<tool>", "<tool_call>"};
  const Grammar::Ptr grammar = Grammar::after_triggers(call, triggers, true);
  for (const char* text :
       {"", "free { text", "x<tool>{\"a\": 1}", "<to<tool_call>{\"a\": 1} and <tool>{\"a\": 1}"})
    EXPECT_TRUE(accepts(grammar, text)) << text;
  for (const char* text : {"<tool>x", "x<tool>{\"a\": 1", "<<tool>{\"b\""})
    EXPECT_FALSE(accepts(grammar, text)) << text;
  EXPECT_FALSE(accepts(Grammar::after_triggers(call, triggers, false), "<tool>{\"a\": 1} "));
  EXPECT_TRUE(accepts(Grammar::enclosed("<a>", call, "</a>"), "<a>{\"a\": 1}</a>"));
  EXPECT_TRUE(accepts(Grammar::any_of(std::vector{call, Grammar::from_regex("b+")}), "bbb"));
}

TEST(Matcher, ForcedTextIsWhatMustFollow) {
  Matcher matcher(Grammar::from_json_schema_text(
      R"({"type": "object", "properties": {"name": {"enum": ["ab", "ac"]}}, "required": ["name"], "additionalProperties": false})"));
  EXPECT_EQ(matcher.forced(), "{\"name\": \"a");
  Matcher copy = matcher;
  EXPECT_TRUE(copy.accept("{\"name\": \"ab"));
  EXPECT_EQ(copy.forced(), "\"}");
  EXPECT_FALSE(copy.accept("x"));
  EXPECT_EQ(matcher.forced(2), "{\"");
}

}  // namespace
}  // namespace aviary
