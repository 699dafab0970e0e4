// Reads what a user enters: one line, or several between two """.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "terminal/keys.h"
#include "terminal/line_editor.h"

namespace aviary {

// Lines that form an entry: a line that begins with """ begins one that ends with the next """.
class EntryLines {
 public:
  // The entry, if this line completes it.
  std::optional<std::string> add(const std::string& line);
  bool open() const { return open_; }
  void reset() { *this = {}; }

 private:
  bool open_ = false;
  std::string text_;
};

struct EntryTerminal {
  bool editing = true;                // with keys and ANSI sequences; else line by line
  std::function<int()> columns = {};  // of the terminal
  std::function<void(std::string_view bytes)> write = {};
  // Lets the user change a text in another program (Ctrl-G); none: there is no such program.
  std::function<std::string(const std::string& text)> edit = {};
  std::function<bool()> ended = {};  // asked several times a second: whether the program is to end
};

class EntryReader {
 public:
  explicit EntryReader(EntryTerminal terminal) : terminal_(std::move(terminal)) {}
  // The next entry; nothing when the user leaves (Ctrl-D), or at the end of the input. Throws Error if the
  // terminal cannot be read.
  std::optional<std::string> read();

 private:
  std::optional<std::string> read_edited(const std::string& prompt, bool& interrupted);
  std::optional<std::string> read_plain(const std::string& prompt);

  EntryTerminal terminal_;
  LineEditor editor_;
  KeyReader keys_;
};

}  // namespace aviary
