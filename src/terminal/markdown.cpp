#include "terminal/markdown.h"

#include <algorithm>
#include <utility>

#include "base/quotes.h"
#include "base/utf8.h"
#include "terminal/text_width.h"

namespace aviary {
namespace {

constexpr std::string_view bold_on = "\033[1m", bold_off = "\033[22m", italic_on = "\033[3m",
                           italic_off = "\033[23m", dim_on = "\033[2m", dim_off = "\033[22m",
                           reset = "\033[0m";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::string MarkdownWriter::push(std::string_view text) {
  const std::string safe = style_.escaped ? for_terminal(text) : std::string(text);
  std::string_view rest = safe;
  while (!rest.empty()) {
    const auto length = static_cast<size_t>(utf8_step(rest).length);
    add(rest.substr(0, length));
    rest.remove_prefix(length);
  }
  return std::exchange(out_, {});
}

std::string MarkdownWriter::finish() {
  show_head();
  flush_word();
  if (style_.styled && (is_styled() || in_block_)) out_ += reset;
  std::string all = std::exchange(out_, {});
  *this = MarkdownWriter(style_);
  return all;
}

bool MarkdownWriter::is_styled() const {
  return bold_ || italic_ || code_ || line_ == Line::heading || line_ == Line::quote;
}

// A line that was only the beginning of something.
void MarkdownWriter::show_head() {
  if (line_ != Line::unknown) return;
  if (in_block_)
    out_ += std::exchange(head_, {});
  else
    word_ = std::exchange(head_, {});
}

void MarkdownWriter::add(std::string_view character) {
  if (!style_.styled) line_ = Line::text;
  if (character == "\n") return end_line();
  if (line_ == Line::unknown) {
    head_ += character;
    return decide_kind();
  }
  if (line_ == Line::code) {
    out_ += character;
    return;
  }
  if (line_ == Line::fence) {
    head_ += character;
    return;
  }
  add_to_line(character);
}

// The kind of a line, from its beginning; shows the beginning as soon as it is known.
void MarkdownWriter::decide_kind() {
  const size_t margin = std::min(head_.find_first_not_of(' '), head_.size());
  const std::string_view body = std::string_view(head_).substr(margin);
  if (body.empty()) return;
  const std::string_view fence = "```";
  if (body.size() <= fence.size() && fence.starts_with(body)) {
    if (body.size() == fence.size()) line_ = Line::fence;
    return;
  }
  if (in_block_) {
    line_ = Line::code;
    out_ += std::exchange(head_, {});
    return;
  }
  const size_t marks = std::min(body.find_first_not_of('#'), body.size());
  const size_t digits = std::min(body.find_first_not_of("0123456789"), body.size());
  if (marks == body.size() && marks <= 6) return;
  if (digits == body.size() && digits <= 3) return;
  if (digits > 0 && digits < 4 && body.size() == digits + 1 && (body.back() == '.' || body.back() == ')'))
    return;
  if (body == "-" || body == "*" || body == "+" || body == ">") return;
  const bool spaced = body.back() == ' ';
  const std::string start(head_.substr(0, margin));
  std::string rest;
  line_ = Line::text;
  if (spaced && marks > 0 && marks <= 6) {
    line_ = Line::heading;
    out_ += bold_on;
  } else if (spaced && digits > 0 && body.size() == digits + 2 && is_digit(body[0])) {
    line_ = Line::item;
    place(start + std::string(body), static_cast<int>(head_.size()));
  } else if (spaced && body.size() == 2 && std::string_view("-*+").find(body[0]) != std::string_view::npos) {
    line_ = Line::item;
    place(start + "\u2022 ", static_cast<int>(head_.size()));
  } else if (spaced && body[0] == '>') {
    line_ = Line::quote;
    out_ += dim_on;
    place("\u2502 ", 2);
  } else {
    rest = head_;
  }
  head_.clear();
  indent_ = line_ == Line::item || line_ == Line::quote ? column_ : 0;
  for (std::string_view text = rest; !text.empty();) {
    const auto length = static_cast<size_t>(utf8_step(text).length);
    add_to_line(text.substr(0, length));
    text.remove_prefix(length);
  }
}

void MarkdownWriter::add_to_line(std::string_view character) {
  if (character != " " && character != "\t") {
    word_ += character;
    return;
  }
  flush_word();
  ++spaces_;
}

void MarkdownWriter::place(std::string_view bytes, int width) {
  const bool full = style_.columns > 0 && column_ > indent_ && column_ + spaces_ + width > style_.columns;
  if (full) {
    out_ += '\n';
    out_.append(static_cast<size_t>(indent_), ' ');
    column_ = indent_;
  } else {
    out_.append(static_cast<size_t>(spaces_), ' ');
    column_ += spaces_;
  }
  spaces_ = 0;
  out_ += bytes;
  column_ += width;
}

// The word without its marks, with the sequences that they stand for.
std::string MarkdownWriter::styled_word(int& width) {
  std::string shown;
  const std::string& word = word_;
  const auto toggle = [&](bool& on, std::string_view begin, std::string_view end) {
    on = !on;
    shown += on ? begin : end;
  };
  std::string plain;
  const bool stars = word.find_first_not_of('*') == std::string::npos;  // a rule, or a product
  for (size_t i = 0; i < word.size(); ++i) {
    const bool first = i == 0, last = i + 1 == word.size();
    if (word[i] == '`') {
      toggle(code_, dim_on, bold_ ? "\033[22;1m" : dim_off);
    } else if (!code_ && !stars && word.compare(i, 2, "**") == 0 && (bold_ || i + 2 < word.size())) {
      toggle(bold_, bold_on, bold_off);
      ++i;
    } else if (!code_ && !stars && word[i] == '*' && (italic_ ? !first : !last)) {
      toggle(italic_, italic_on, italic_off);
    } else {
      shown += word[i];
      plain += word[i];
    }
  }
  width = display_width(plain);
  return shown;
}

void MarkdownWriter::flush_word() {
  if (word_.empty()) return;
  int width = display_width(word_);
  const std::string shown = style_.styled ? styled_word(width) : word_;
  word_.clear();
  place(shown, width);
}

void MarkdownWriter::end_line() {
  show_head();
  flush_word();
  if (line_ == Line::fence) {
    const std::string name = head_.substr(head_.find_last_of('`') + 1);
    in_block_ = !in_block_;
    out_ += in_block_ ? std::string(dim_on) + name : std::string(reset);
    if (in_block_ && !name.empty()) out_ += "\n";
  } else {
    if (!in_block_ && is_styled()) out_ += reset;
    bold_ = italic_ = code_ = false;
    out_ += "\n";
  }
  line_ = Line::unknown;
  head_.clear();
  spaces_ = column_ = indent_ = 0;
}

}  // namespace aviary
