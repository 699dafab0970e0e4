// How a conversation becomes the text that a model was trained on.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/message.h"
#include "chat/reply_parser.h"

namespace aviary {

// A prompt, in pieces. Each piece is tokenized by itself, so that the tokens of the beginning of a
// conversation are the beginning of the tokens of the longer one, and its state can be found again.
struct RenderedChat {
  std::vector<std::string> segments;  // none is empty
  std::vector<size_t> message_ends;   // for each message, the number of segments up to its end
  std::vector<std::string> stops;     // strings that end the reply
  ReplyForm reply;                    // what the reply begins with, for its parser
  std::string text() const;           // all segments
};

// The spelling of a conversation. What follows the opening of a turn is its text, then its end.
struct TurnForm {
  std::string_view begin = {}, end = {};
};

// How a template writes a thought. The prompt of a reply that thinks ends with `open`, the beginning of the
// marker <think>, because that is where the tokens of the models end.
struct ThoughtForm {
  std::string_view open = {};        // "<think"
  std::string_view before = {};      // the rest of it, and what follows before the thought: ">\n"
  std::string_view end = {};         // between the thought and the content: "\n</think>\n"
  std::string_view none = {};        // an empty thought without its last ">": "<think>\n</think"
  std::string_view after_none = {};  // ">\n"
  bool exists() const { return !open.empty(); }
};

// Immutable; there is one of each name, for the whole program.
//
// The prefix law: let the model's reply be appended to the messages as it was reported (reasoning, content,
// calls), and then any further messages. Then the segments of the longer conversation begin with those of the
// shorter one, apart from white space where a reply or thought begins or ends, if the tools, `thinking` and
// the template are the same. Thoughts that the messages carry are part of the prompt; a client that wants
// them forgotten does not send them, and the model reads again from the reply that lacks its thought.
struct ChatTemplate {
  std::string_view name;
  std::string_view description;   // a sentence
  std::string_view opening = {};  // before everything
  TurnForm system = {}, user = {}, assistant = {};
  std::string_view reply_space = {};  // between assistant.begin and the reply
  ThoughtForm thought = {};
  bool has_effort = false;           // "(think a bit)" after the questions
  bool cleans = true;                // contents are cleaned (chat/clean.h); else only their line ends
  std::string_view separator = {};   // a character of the template that contents must not contain
  std::string_view substitute = {};  // what it becomes
  std::vector<std::string_view> stops = {};

  // The prompt for the next reply. `continue_last`: if the last message is one of the assistant without
  // calls, the prompt ends in its text, and the reply continues it. Throws Error for tools as describe_tools.
  RenderedChat render(const std::vector<Message>& messages, const std::vector<Tool>& tools = {},
                      Thinking thinking = Thinking::usual, bool continue_last = false) const;

  // What ends a thought, for a limit on its length: is written in the place of further tokens.
  std::string_view thought_end() const { return thought.end; }
};

// nullptr if there is no template of this name.
const ChatTemplate* find_chat_template(std::string_view name);
// All names, the usual one first.
std::vector<std::string> chat_template_names();

// What is known of a model.
struct ChatFacts {
  bool published_world = false;  // its vocabulary is that of the published World models
  std::string file_name = {};    // without its folder: "rwkv7-g1a-0.4b-20250905-ctx4096.pth"
  std::string stored = {};       // the template that its file names: "rwkv-world" in GGUF; or empty
};

// The template that a model was probably trained on:
// - the one that its file names, if there is one of this name;
// - g1 if the name of the file has the word g1, g1a, g1b2, ...; all of this series know its turns, later ones
//   also those of `flower`, which is chosen by hand;
// - raven if it has the word raven;
// - world for the vocabulary of the published World models, and for files of GGUF that name "rwkv-world",
// which
//   those of G1 do too;
// - plain for all others: nothing says that they know conversations. `qa`, which works somewhat for any
// model,
//   is chosen by hand.
const ChatTemplate& detect_chat_template(const ChatFacts& facts);

// What reasoning_effort of the OpenAI protocols and "think" of others name: none and off; minimal, low and "a
// bit"; medium, on and usual; high, xhigh and "a lot". Nothing for other words.
std::optional<Thinking> thinking_named(std::string_view word);

}  // namespace aviary
