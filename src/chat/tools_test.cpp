#include "chat/tools.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"

namespace aviary {
namespace {

using Json = nlohmann::json;

const std::vector<Tool> tools = {
    {.name = "weather",
     .description = "The weather of a city",
     .parameters =
         R"({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                       "required": ["city"], "additionalProperties": false})",
     .strict = true},
    {.name = "now"},
};

TEST(Tools, AreDescribedOneALineAsTheModelsKnowThem) {
  EXPECT_EQ(describe_tools(tools),
            "Tools:\n[\n"
            "{\"name\":\"weather\",\"description\":\"The weather of a "
            "city\",\"arguments\":{\"city\":{\"type\":\"string\"},"
            "\"days\":{\"type\":\"integer\"}},\"optional\":[\"days\"]},\n"
            "{\"name\":\"now\",\"arguments\":{}}\n"
            "]\nTo use a tool, return only a JSON function call.");
}

TEST(Tools, ASchemaThatSaysMoreThanItsPropertiesIsDescribedWhole) {
  const std::string text =
      describe_tools({{.name = "f", .parameters = R"({"properties":{"a":{}},"minProperties":1})"}});
  EXPECT_NE(text.find(R"("arguments":{"properties":{"a":{}},"minProperties":1})"), std::string::npos) << text;
}

TEST(Tools, ACallIsOneOfTheTools) {
  const Json schema = parse_json(tool_call_schema(tools), "schema");
  ASSERT_EQ(schema["anyOf"].size(), 2u);
  const Json& weather = schema["anyOf"][0];
  EXPECT_EQ(weather["properties"]["name"]["const"], "weather");
  EXPECT_EQ(weather["properties"]["arguments"], parse_json(tools[0].parameters, "parameters"));
  EXPECT_EQ(weather["required"], Json({"name", "arguments"}));
  EXPECT_EQ(schema["anyOf"][1]["properties"]["arguments"], Json({{"type", "object"}}));
}

TEST(Tools, TheNameComesBeforeTheArguments) {
  const std::string text = tool_call_schema(tools, "now");
  EXPECT_LT(text.find("\"name\""), text.find("\"arguments\""));
}

TEST(Tools, OneToolCanBeChosen) {
  const Json schema = parse_json(tool_call_schema(tools, "now"), "schema");
  EXPECT_EQ(schema["properties"]["name"]["const"], "now");
  EXPECT_THROW(tool_call_schema(tools, "later"), Error);
  EXPECT_THROW(tool_call_schema({}), Error);
}

TEST(Tools, ReferencesFollowTheSchemaToItsNewPlace) {
  const Tool tool{
      .name = "f",
      .parameters = R"({"properties": {"a": {"$ref": "#/$defs/b"}, "c": {"const": {"$ref": "#/d"}}},
                                    "$defs": {"b": {"type": "string"}}})",
      .strict = true};
  const Json one = parse_json(tool_call_schema({tool}), "schema");
  EXPECT_EQ(one["properties"]["arguments"]["properties"]["a"]["$ref"], "#/properties/arguments/$defs/b");
  EXPECT_EQ(one["properties"]["arguments"]["properties"]["c"]["const"]["$ref"], "#/d");
  const Json two = parse_json(tool_call_schema({tools[1], tool}), "schema");
  EXPECT_EQ(two["anyOf"][1]["properties"]["arguments"]["properties"]["a"]["$ref"],
            "#/anyOf/1/properties/arguments/$defs/b");
}

TEST(Tools, ParametersThatAreNoSchemaAreRefusedByName) {
  for (const char* parameters : {"[]", "{", "3"}) {
    try {
      describe_tools({{.name = "bad tool", .parameters = parameters}});
      ADD_FAILURE() << parameters;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("bad tool"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace aviary
