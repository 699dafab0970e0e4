// A conversation in a terminal: what the user enters, and what is shown.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/conversation.h"
#include "terminal/markdown.h"
#include "terminal/reply_source.h"

namespace aviary {

// What a session shows, and how it learns that the reply is to stop.
struct ChatScreen {
  std::function<void(std::string_view bytes)> write = {};  // replies
  std::function<void(std::string_view line)> tell = {};    // a line about them, without its \n
  std::function<bool()> stopped = {};                      // Ctrl-C
  MarkdownStyle style = {};
};

struct ChatSettings {
  std::string system = {};
  Thinking thinking = Thinking::usual;
  std::string chat_template = {};  // empty: that of the model
  ReplySettings reply = {};
};

class ChatSession {
 public:
  // The source must outlive the session. Throws Error for a template that does not exist.
  ChatSession(ReplySource& source, ChatSettings settings, ChatScreen screen);

  // A message, or a command that begins with a slash ("//x" is the message "/x"). False if the user wants to
  // leave. What goes wrong is told, and nothing is lost.
  bool handle(const std::string& entry);
  // A message whose reply is shown; throws Error if there is none. Then the message is not kept.
  void ask(const std::string& text);
  // Lets the conversation follow the state in a file (aviary state make, /save). Throws Error if it cannot be
  // used.
  void begin_from(const std::string& state_file);

  const Conversation& conversation() const { return conversation_; }
  // All commands, for completion and help: "/undo [N]", and a sentence.
  static std::vector<std::pair<std::string, std::string>> commands();

 private:
  struct Command;
  static const std::vector<Command>& all_commands();
  bool run(const std::string& entry);
  // Takes a state of the source as the beginning of an empty conversation.
  void follow(std::string state);
  void answer();
  ReplyRequest request() const;
  void show(const Delta& delta, Message& reply, MarkdownWriter& markdown, bool& thinks);
  void help(const std::string&);
  void clear(const std::string&);
  void undo(const std::string& argument);
  void again(const std::string&);
  void branch(const std::string& name);
  void branches(const std::string&);
  void go_to(const std::string& name);
  void save(const std::string& path);
  void load(const std::string& path);
  void mix(const std::string& argument);
  void read(const std::string& path);
  void set(const std::string& argument);
  void why(const std::string&);
  void think(const std::string& argument);
  void choose_template(const std::string& name);
  void statistics(const std::string&);
  void tell_place();

  ReplySource& source_;
  ChatSettings settings_;
  const ChatScreen screen_;
  Conversation conversation_;
  std::string state_;                  // of the source: what the conversation follows; empty: nothing
  std::vector<TokenLogprob> written_;  // the tokens of the last reply
  ReplyOutcome last_;
  Usage total_;
};

}  // namespace aviary
