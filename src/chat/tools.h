// Tools in a conversation: how they are described to the model, and how it writes a call.
//
// A call is a block of JSON, the form that RWKV-7 G1 was trained on:
//
//   ```json
//   {"name":"get_weather","arguments":{"city":"Ulm"}}
//   ```
//
// Several calls are several blocks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "chat/message.h"

namespace aviary {

// The text around the JSON of a call. The line break after the opening belongs to it.
std::string_view tool_call_trigger();  // "```json\n"
std::string_view tool_call_end();      // "\n```"

// The part of the system message that describes the tools: one JSON object a line, and how to call them.
// Throws Error naming the tool whose parameters are not a JSON object.
std::string describe_tools(const std::vector<Tool>& tools);

// The JSON Schema of the JSON of a call, as text: an object with the name of one of the tools and its
// arguments, in this order. Arguments of a tool that is not strict, or has no schema, are any object.
// References in the schemas of the tools are moved to where these lie now. `only`: the name of the one tool
// that may be called; empty: any. Throws Error if there is no such tool, or as describe_tools.
std::string tool_call_schema(const std::vector<Tool>& tools, std::string_view only = {});

// A call as the model writes it.
std::string written_call(const ToolCall& call);

}  // namespace aviary
