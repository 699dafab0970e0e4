#include "chat/tools.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

std::string written(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json parameters_of(const Tool& tool) {
  if (tool.parameters.empty()) return Json::object();
  const std::string where = fmt::format("the parameters of the tool {}", in_quotes(tool.name));
  Json parameters = parse_ordered_json(tool.parameters, where);
  require(parameters.is_object(), "{} are a JSON {}, expected an object, a JSON Schema", where,
          parameters.type_name());
  return parameters;
}

// The arguments as they are described to the model: the properties alone if the schema says little else.
Json described_arguments(const Json& parameters, Json& optional) {
  const auto properties = parameters.find("properties");
  if (properties == parameters.end() || !properties->is_object()) return parameters;
  for (const auto& [key, value] : parameters.items())
    if (key != "type" && key != "properties" && key != "required" && key != "additionalProperties" &&
        key != "$schema" && key != "title" && key != "description")
      return parameters;
  const auto required = parameters.find("required");
  for (const auto& [name, value] : properties->items()) {
    const bool listed = required != parameters.end() && required->is_array() &&
                        std::find(required->begin(), required->end(), Json(name)) != required->end();
    if (!listed) optional.push_back(name);
  }
  return *properties;
}

// References such as "#/$defs/city" begin at the root of the document, which is `path` now.
void move_references(Json& schema, const std::string& path) {
  if (schema.is_array())
    for (Json& entry : schema) move_references(entry, path);
  if (!schema.is_object()) return;
  for (auto& [key, value] : schema.items()) {
    if (key == "$ref" && value.is_string() && (value == "#" || value.get<std::string>().starts_with("#/")))
      value = path + value.get<std::string>().substr(1);
    else if (key != "const" && key != "enum" && key != "default" && key != "examples")
      move_references(value, path);
  }
}

Json call_schema(const Tool& tool, const std::string& path) {
  Json arguments = parameters_of(tool);
  if (!tool.strict || arguments.empty()) arguments = {{"type", "object"}};
  if (!arguments.contains("$id")) move_references(arguments, path + "/properties/arguments");
  return {{"type", "object"},
          {"properties", {{"name", {{"const", tool.name}}}, {"arguments", std::move(arguments)}}},
          {"required", {"name", "arguments"}},
          {"additionalProperties", false}};
}

}  // namespace

std::string_view tool_call_trigger() { return "```json\n"; }
std::string_view tool_call_end() { return "\n```"; }

std::string describe_tools(const std::vector<Tool>& tools) {
  std::string text = "Tools:\n[\n";
  for (size_t i = 0; i < tools.size(); ++i) {
    Json optional = Json::array();
    const Json arguments = described_arguments(parameters_of(tools[i]), optional);
    Json line = {{"name", tools[i].name}};
    if (!tools[i].description.empty()) line["description"] = tools[i].description;
    line["arguments"] = arguments;
    if (!optional.empty()) line["optional"] = optional;
    text += written(line) + (i + 1 < tools.size() ? ",\n" : "\n");
  }
  return text + "]\nTo use a tool, return only a JSON function call.";
}

std::string tool_call_schema(const std::vector<Tool>& tools, std::string_view only) {
  std::vector<const Tool*> chosen;
  for (const Tool& tool : tools)
    if (only.empty() || tool.name == only) chosen.push_back(&tool);
  require(!chosen.empty(), "there is no tool {} among the {} tools of the request", in_quotes(only),
          tools.size());
  if (chosen.size() == 1) return written(call_schema(*chosen.front(), "#"));
  Json any = Json::array();
  for (const Tool* tool : chosen) any.push_back(call_schema(*tool, fmt::format("#/anyOf/{}", any.size())));
  return written({{"anyOf", std::move(any)}});
}

std::string written_call(const ToolCall& call) {
  return fmt::format("{}{{\"name\":{},\"arguments\":{}}}{}", tool_call_trigger(), written(call.name),
                     call.arguments.empty() ? "{}" : call.arguments, tool_call_end());
}

}  // namespace aviary
