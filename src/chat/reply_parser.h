// Takes the text that a model writes in a conversation apart: what it thinks, what it says, which tools it
// calls.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "chat/json_scanner.h"

namespace aviary {

// What is known of a reply before it is written; ChatTemplate::render() fills it in.
struct ReplyForm {
  bool thoughts = false;         // the reply may begin with <think> ... </think>
  bool thought_open = false;     // the prompt has opened a thought
  std::string marker_rest = {};  // the prompt ends inside a marker, "<think", whose rest comes first, ">"
  bool trims = true;             // white space at the beginning of the reply is dropped
  std::vector<std::string> tools = {};  // the names of tools that may be called
};

struct ReplyEvent {
  enum class Kind : uint8_t { reasoning, content, call_begin, call_arguments, call_end };
  Kind kind = Kind::content;
  std::string text = {};  // a piece of text; the name of the tool in call_begin; nothing in call_end
  bool complete = true;   // of call_end: the arguments are a whole JSON object
  bool operator==(const ReplyEvent&) const = default;
};

// Pieces of text in, events out. The events do not depend on how the text is split, except that a piece of
// reasoning, content or arguments may come in several pieces. Only what may be part of a marker is held back.
//
// White space before and after a thought is dropped, and that at the beginning of the reply and around a
// call. A block of JSON that does not begin as the call of a known tool is content. From the first byte of
// its arguments on a call is reported as it is written; if they turn out not to be JSON, the call ends there
// as not complete, and what follows is content.
class ReplyParser {
 public:
  explicit ReplyParser(ReplyForm form);

  std::vector<ReplyEvent> push(std::string_view text);
  // The text is complete: what was held back.
  std::vector<ReplyEvent> finish();

  bool in_thought() const { return part_ == Part::thought; }
  bool in_call() const { return part_ == Part::arguments || part_ == Part::tail; }

 private:
  enum class Part : uint8_t { rest, opening, thought, content, head, arguments, tail };

  bool step();  // whether something was consumed
  bool read_rest();
  bool read_opening();
  bool read_thought();
  bool read_content();
  bool read_head();
  bool read_arguments();
  bool read_tail();
  void emit(ReplyEvent::Kind kind, std::string text);
  void end_call(bool complete);

  ReplyForm form_;
  Part part_ = Part::rest;
  std::string held_;
  bool trimming_ = false;        // white space that comes next is dropped
  bool thought_allowed_ = true;  // no thought was seen yet
  bool finished_ = false;        // no more text follows
  std::string space_;            // white space of the content before a call that has begun
  JsonScanner scanner_;
  std::vector<ReplyEvent> events_;
};

}  // namespace aviary
