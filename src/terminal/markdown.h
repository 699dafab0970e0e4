// Markdown as a terminal shows it, while it is being written.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace aviary {

struct MarkdownStyle {
  int columns = 80;     // lines are broken at words; 0: not at all
  bool styled = true;   // with ANSI sequences; else the Markdown stays as it is
  bool escaped = true;  // control characters are shown and do nothing
};

// Shows headings, lists, quotes, code blocks, **bold**, *italic* and `code`; everything else stays text. A
// word is held back until it is complete, the beginning of a line until its kind is known. The output does
// not depend on how the text is split into pieces.
class MarkdownWriter {
 public:
  explicit MarkdownWriter(MarkdownStyle style) : style_(style) {}

  // What can be shown of these characters, which must be complete.
  std::string push(std::string_view text);
  // The rest. Leaves the terminal's style as it was, and the writer as new.
  std::string finish();

 private:
  enum class Line : uint8_t { unknown, text, heading, item, quote, code, fence };

  void add(std::string_view character);
  void decide_kind();
  void add_to_line(std::string_view character);
  void flush_word();
  void end_line();
  // Shows a word, on the next row if this one is full.
  void place(std::string_view bytes, int width);
  std::string styled_word(int& width);
  bool is_styled() const;
  void show_head();

  MarkdownStyle style_;
  std::string out_;
  Line line_ = Line::unknown;
  std::string head_;  // of a line whose kind is unknown
  std::string word_;  // not shown yet
  int spaces_ = 0;    // before the word
  int column_ = 0, indent_ = 0;
  bool bold_ = false, italic_ = false, code_ = false;
  bool in_block_ = false;  // between two lines of ```
};

}  // namespace aviary
