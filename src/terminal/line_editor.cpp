#include "terminal/line_editor.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/quotes.h"
#include "base/utf8.h"
#include "terminal/text_width.h"

namespace aviary {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t'; }

// Where the characters of a text come to stand, with line breaks where a row is full.
struct Layout {
  explicit Layout(int columns) : columns(std::max(columns, 2)) {}

  void add(std::string_view text) {
    while (!text.empty()) {
      const auto length = static_cast<size_t>(utf8_step(text).length);
      add_character(text.substr(0, length));
      text.remove_prefix(length);
    }
  }
  void add_character(std::string_view character) {
    if (character == "\n") return new_row();
    const std::string shown = character == "\t" ? " " : printable(character);
    const int width = display_width(shown);
    if (column + width > columns) new_row();
    bytes += shown;
    column += width;
  }
  // A full row has no place for the cursor.
  void settle() {
    if (column >= columns) new_row();
  }
  void new_row() {
    bytes += "\r\n";
    ++row;
    column = 0;
  }

  int columns;
  std::string bytes = {};
  int row = 0, column = 0;
};

}  // namespace

void LineEditor::begin(std::string prompt) {
  prompt_ = std::move(prompt);
  text_.clear();
  cursor_ = 0;
  entry_ = history_.size();
  searching_ = false;
  drawn_row_ = 0;
}

void LineEditor::remember(std::string entry) {
  if (!entry.empty() && (history_.empty() || history_.back() != entry)) history_.push_back(std::move(entry));
}

void LineEditor::set_text(std::string text) {
  text_ = std::move(text);
  cursor_ = text_.size();
}

// Combining characters go with the character before them.
size_t LineEditor::before(size_t at) const {
  while (at > 0) {
    --at;
    while (at > 0 && (text_[at] & 0xc0) == 0x80) --at;
    if (text_[at] == '\n' || display_width(std::string_view(text_).substr(at, after(at) - at)) > 0) break;
  }
  return at;
}

size_t LineEditor::after(size_t at) const {
  if (at < text_.size()) at += static_cast<size_t>(utf8_step(std::string_view(text_).substr(at)).length);
  while (at < text_.size() && text_[at] != '\n') {
    const std::string_view rest = std::string_view(text_).substr(at);
    const auto length = static_cast<size_t>(utf8_step(rest).length);
    if (display_width(rest.substr(0, length)) > 0) break;
    at += length;
  }
  return std::min(at, text_.size());
}

size_t LineEditor::word_before(size_t at) const {
  while (at > 0 && is_blank(text_[at - 1])) --at;
  while (at > 0 && !is_blank(text_[at - 1])) --at;
  return at;
}

size_t LineEditor::word_after(size_t at) const {
  while (at < text_.size() && is_blank(text_[at])) ++at;
  while (at < text_.size() && !is_blank(text_[at])) ++at;
  return at;
}

void LineEditor::insert(std::string_view text) {
  text_.insert(cursor_, text);
  cursor_ += text.size();
}

void LineEditor::erase(size_t begin, size_t end) {
  text_.erase(begin, end - begin);
  cursor_ = begin;
}

void LineEditor::recall(size_t entry) {
  if (entry > history_.size() || entry == entry_) return;
  if (entry_ == history_.size()) new_text_ = text_;
  entry_ = entry;
  text_ = entry == history_.size() ? new_text_ : history_[entry];
  cursor_ = text_.size();
}

// Between the lines of the entry; at its first or last line, to another entry of the history.
void LineEditor::move_vertically(bool up) {
  const size_t line = text_.rfind('\n', cursor_ == 0 ? std::string::npos : cursor_ - 1);
  const size_t begin = cursor_ == 0 || line == std::string::npos ? 0 : line + 1;
  const size_t column = cursor_ - begin;
  if (up && begin == 0) return recall(entry_ == 0 ? entry_ : entry_ - 1);
  const size_t end = text_.find('\n', cursor_);
  if (!up && end == std::string::npos) return recall(entry_ + 1);
  const size_t other = up ? (begin < 2 ? 0 : text_.rfind('\n', begin - 2) + 1) : end + 1;
  const size_t other_end = std::min(text_.find('\n', other), text_.size());
  size_t at = other;
  while (at < other_end && at - other < column) at = after(at);
  cursor_ = std::min(at, other_end);
}

bool LineEditor::find_before(size_t end) {
  while (end-- > 0) {
    if (history_[end].find(query_) == std::string::npos) continue;
    recall(end);
    return true;
  }
  return false;
}

// Text makes the query longer, Ctrl-R looks further back, Ctrl-C takes the search back; any other key ends it
// with the entry that was found, and then does what it always does.
bool LineEditor::search(const Key& key) {
  if (!searching_) {
    if (key.kind != Key::Kind::search) return false;
    searching_ = true;
    query_.clear();
    return true;
  }
  switch (key.kind) {
    case Key::Kind::text:
    case Key::Kind::paste:
      query_ += key.text;
      if (entry_ == history_.size() || history_[entry_].find(query_) == std::string::npos)
        find_before(std::min(entry_, history_.size()));
      return true;
    case Key::Kind::search:
      if (!query_.empty()) find_before(entry_);
      return true;
    case Key::Kind::backspace:
      while (!query_.empty() && (query_.back() & 0xc0) == 0x80) query_.pop_back();
      if (!query_.empty()) query_.pop_back();
      return true;
    case Key::Kind::interrupt:
      recall(history_.size());
      searching_ = false;
      return true;
    default:
      searching_ = false;
      return false;
  }
}

std::optional<size_t> LineEditor::moved(Key::Kind kind) const {
  switch (kind) {
    case Key::Kind::left:
      return before(cursor_);
    case Key::Kind::right:
      return after(cursor_);
    case Key::Kind::home:
      return cursor_ == 0 ? 0 : text_.rfind('\n', cursor_ - 1) + 1;
    case Key::Kind::end:
      return std::min(text_.find('\n', cursor_), text_.size());
    case Key::Kind::word_left:
      return word_before(cursor_);
    case Key::Kind::word_right:
      return word_after(cursor_);
    default:
      return {};
  }
}

LineEditor::Result LineEditor::handle(const Key& key) {
  if (search(key)) return Result::editing;
  if (const std::optional<size_t> to = moved(key.kind)) {
    cursor_ = *to;
    return Result::editing;
  }
  switch (key.kind) {
    case Key::Kind::text:
    case Key::Kind::paste:
      insert(key.text);
      break;
    case Key::Kind::enter:
      return Result::entered;
    case Key::Kind::backspace:
      erase(before(cursor_), cursor_);
      break;
    case Key::Kind::erase:
      erase(cursor_, after(cursor_));
      break;
    case Key::Kind::up:
    case Key::Kind::down:
      move_vertically(key.kind == Key::Kind::up);
      break;
    case Key::Kind::kill_to_end:
      erase(cursor_, *moved(Key::Kind::end));
      break;
    case Key::Kind::kill_to_start:
      erase(*moved(Key::Kind::home), cursor_);
      break;
    case Key::Kind::kill_word:
      erase(word_before(cursor_), cursor_);
      break;
    case Key::Kind::clear_screen:
      clear_screen_ = true;
      break;
    case Key::Kind::interrupt:
      return Result::interrupted;
    case Key::Kind::editor:
      return Result::editor;
    case Key::Kind::leave:
      if (text_.empty()) return Result::left;
      erase(cursor_, after(cursor_));
      break;
    default:
      break;
  }
  return Result::editing;
}

std::string LineEditor::draw(int columns) {
  Layout all(columns);
  all.add(searching_ ? fmt::format("(search {}) ", in_quotes(query_)) : prompt_);
  all.add(std::string_view(text_).substr(0, cursor_));
  all.settle();
  const int row = all.row, column = all.column;
  all.add(std::string_view(text_).substr(cursor_));
  all.settle();
  std::string out = drawn_row_ > 0 ? fmt::format("\033[{}A", drawn_row_) : "";
  if (std::exchange(clear_screen_, false)) out = "\033[H\033[2J";
  out += "\r\033[J" + all.bytes;
  if (all.row > row) out += fmt::format("\033[{}A", all.row - row);
  out += column > 0 ? fmt::format("\r\033[{}C", column) : "\r";
  drawn_row_ = row;
  return out;
}

std::string LineEditor::finish(int columns) {
  cursor_ = text_.size();
  searching_ = false;
  std::string out = draw(columns) + "\r\n";
  drawn_row_ = 0;
  return out;
}

}  // namespace aviary
