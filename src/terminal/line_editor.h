// Edits one entry of a user, which may have several lines.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "terminal/keys.h"

namespace aviary {

// Knows no terminal: keys go in, and draw() gives the bytes that show the entry.
class LineEditor {
 public:
  enum class Result : uint8_t { editing, entered, interrupted, left, editor };

  // Begins a new entry.
  void begin(std::string prompt);
  Result handle(const Key& key);
  // Shows the entry in a terminal of so many columns: begins where the last call left the cursor.
  std::string draw(int columns);
  // Goes below the entry, which is complete.
  std::string finish(int columns);

  const std::string& text() const { return text_; }
  // Replaces the entry, as an editor has left it.
  void set_text(std::string text);
  // Adds an entry to the history, which up and down go through; a repeated one counts once.
  void remember(std::string entry);

 private:
  size_t before(size_t at) const;
  size_t after(size_t at) const;
  size_t word_before(size_t at) const;
  size_t word_after(size_t at) const;
  void insert(std::string_view text);
  void erase(size_t begin, size_t end);
  void recall(size_t entry);
  void move_vertically(bool up);
  // Where a key moves the cursor; nothing for other keys.
  std::optional<size_t> moved(Key::Kind kind) const;
  // While the history is searched: true if the key was one of the search.
  bool search(const Key& key);
  // Shows the last entry before `end` that has the query; false if there is none.
  bool find_before(size_t end);

  std::string prompt_, text_;
  size_t cursor_ = 0;  // a byte of text_
  std::vector<std::string> history_;
  size_t entry_ = 0;      // of the history that is shown; its size: the new one
  std::string new_text_;  // the new entry while another is shown
  bool searching_ = false;
  std::string query_;
  int drawn_row_ = 0;  // of the cursor, below the first row of the prompt
  bool clear_screen_ = false;
};

}  // namespace aviary
