// A conversation with its branches: each is a list of messages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/message.h"

namespace aviary {

class Conversation {
 public:
  // One empty branch, "main".
  Conversation();
  // From the text that json() gave. Throws Error beginning with `where` for any other.
  Conversation(std::string_view json, std::string_view where);

  std::vector<Message>& messages() { return branches_[current_].messages; }
  const std::vector<Message>& messages() const { return branches_[current_].messages; }

  // A copy of the current branch, which becomes the current one. Throws Error for a name that exists or is
  // not one word.
  void branch(const std::string& name);
  // Makes another branch the current one. Throws Error naming those that exist.
  void go_to(std::string_view name);
  const std::string& current() const { return branches_[current_].name; }
  std::vector<std::string> names() const;
  size_t length(std::string_view name) const;  // in messages

  // Removes the last n questions, with all that follows the first of them; returns how many there were.
  int64_t undo(int64_t n);
  // Removes what follows the last question; false if there is none.
  bool forget_reply();
  // Removes all messages of this branch but those of the system at its beginning.
  void clear();

  // {"format":"aviary-chat","version":1,"branch":...,"branches":[{"name","messages":[...]}]}
  std::string json() const;

 private:
  struct Branch {
    std::string name;
    std::vector<Message> messages = {};
  };
  const Branch* find(std::string_view name) const;

  std::vector<Branch> branches_;
  size_t current_ = 0;
};

}  // namespace aviary
