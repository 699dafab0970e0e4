// The messages of a conversation, as all protocols of the server and the terminal chat use them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace aviary {

enum class Role : uint8_t { system, user, assistant, tool };

// A call of a tool that the model asks for.
struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON, as the model wrote it
};

struct Message {
  Role role = Role::user;
  std::string content = {};
  std::string reasoning = {};        // of an assistant: what it thought before the content
  std::vector<ToolCall> calls = {};  // of an assistant
  std::string call_id = {};          // of a tool: the call that it answers
  std::string name = {};             // of a tool: its name; of others: a name shown to the model, or empty
};

// A tool that the model may call.
struct Tool {
  std::string name;
  std::string description = {};
  std::string parameters = {};  // a JSON Schema of the arguments; empty: any object
  bool strict = false;          // arguments must follow the schema (constrained while they are written)
};

// How much the model is to think before it answers.
enum class Thinking : uint8_t {
  usual,     // what the template does by itself
  none,      // an empty thought is written into the prompt
  brief,     // "think a bit"
  thorough,  // "think a lot"
};

}  // namespace aviary
