#include "text/vocabulary.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <functional>

#include "base/error.h"
#include "base/utf8.h"

namespace aviary {

namespace {

int64_t parse_number(std::string_view digits, std::string_view what, int64_t line) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size() || value < 0)
    fail("vocabulary line {}: the {} is \"{}\", expected a whole number", line, what, excerpt(digits));
  return value;
}

// Reads the literal of one line: '...', "...", b'...' or b"...".
class Literal {
 public:
  Literal(std::string_view source, int64_t line) : source_(source), line_(line) {}

  std::string read() {
    if (!source_.empty() && source_[0] == 'b') is_bytes_ = true, at_ = 1;
    bool opened = at_ < source_.size() && (source_[at_] == '\'' || source_[at_] == '"');
    demand(opened && source_.size() >= at_ + 2 && source_.back() == source_[at_],
           "expected a literal in quotes such as 'the' or b'\\xff'");
    char quote = source_[at_++];
    size_t end = source_.size() - 1;
    while (at_ < end) {
      char c = source_[at_++];
      demand(c != quote, "a quote inside of a literal needs a backslash");
      if (c == '\\') {
        demand(at_ < end, "the literal ends inside an escape");
        read_escape(end);
      } else {
        bool ascii = static_cast<uint8_t>(c) < 0x80;
        demand(ascii || !is_bytes_, "bytes literals contain only ASCII and escapes");
        token_ += c;
      }
    }
    require(is_bytes_ || is_utf8(token_),
            "vocabulary line {}: the str literal is not valid UTF-8; write it as b'...'", line_);
    return std::move(token_);
  }

 private:
  void demand(bool condition, std::string_view reason) const {
    if (!condition) fail("vocabulary line {}: {}, got {}", line_, reason, excerpt(source_));
  }

  void read_escape(size_t end) {
    char c = source_[at_++];
    constexpr std::string_view letters = "\\'\"abfnrtv0", meanings("\\'\"\a\b\f\n\r\t\v\0", 11);
    if (c == 'x') return append_code(hex(2, end));
    if (c == 'u' && !is_bytes_) return append_code(hex(4, end));
    if (c == 'U' && !is_bytes_) return append_code(hex(8, end));
    size_t known = letters.find(c);
    // In Python, \0 can begin an octal number; only a zero that is not followed by a digit is unambiguous.
    bool octal = c == '0' && at_ < end && source_[at_] >= '0' && source_[at_] <= '7';
    demand(known != std::string_view::npos && !octal,
           "unknown escape; use \\x.. for a byte or \\u.... for a character");
    token_ += meanings[known];
  }

  void append_code(uint32_t code) {
    if (is_bytes_) {
      token_ += static_cast<char>(code);
      return;
    }
    require(code <= 0x10ffff && (code < 0xd800 || code > 0xdfff),
            "vocabulary line {}: U+{:04X} cannot be encoded in UTF-8", line_, code);
    append_utf8(token_, code);
  }

  uint32_t hex(size_t digits, size_t end) {
    uint32_t value = 0;
    const char* first = source_.data() + at_;
    const char* last = source_.data() + std::min(at_ + digits, end);
    auto [stop, error] = std::from_chars(first, last, value, 16);
    demand(error == std::errc() && stop == first + digits, "an escape has too few hexadecimal digits");
    at_ += digits;
    return value;
  }

  std::string_view source_;
  int64_t line_;
  size_t at_ = 0;
  bool is_bytes_ = false;
  std::string token_;
};

VocabularyEntry parse_line(std::string_view text, int64_t line) {
  size_t first = text.find(' '), last = text.rfind(' ');
  if (first == std::string_view::npos || first == last)
    fail("vocabulary line {}: \"{}\" is not of the form `id literal length`", line, excerpt(text));
  int64_t id = parse_number(text.substr(0, first), "id", line);
  require(id >= 1 && id <= max_vocabulary_id,
          "vocabulary line {}: the id is {}, expected 1 to {} (0 is the end of text)", line, id,
          max_vocabulary_id);
  int64_t length = parse_number(text.substr(last + 1), "length", line);
  std::string bytes = Literal(text.substr(first + 1, last - first - 1), line).read();
  require(static_cast<int64_t>(bytes.size()) == length,
          "vocabulary line {}: token {} has {} bytes, but its length is given as {}", line, id, bytes.size(),
          length);
  require(length >= 1 && length <= max_token_bytes,
          "vocabulary line {}: token {} has {} bytes, expected 1 to {}", line, id, length, max_token_bytes);
  return {static_cast<int32_t>(id), std::move(bytes)};
}

// Finds entries by their bytes. Cells of four bytes stay in the cache: with a tsl::robin_map, loading the
// World vocabulary took 10 % longer.
class EntryTable {
 public:
  explicit EntryTable(const std::vector<VocabularyEntry>& entries)
      : entries_(entries), cells_(std::bit_ceil(2 * entries.size() + 1)) {}

  // The cell of the entry with these bytes, or the free cell for it: index + 1, or 0.
  uint32_t& operator[](std::string_view bytes) {
    size_t at = std::hash<std::string_view>()(bytes);
    for (;; ++at) {
      uint32_t& cell = cells_[at & (cells_.size() - 1)];
      if (cell == 0 || entries_[cell - 1].bytes == bytes) return cell;
    }
  }

 private:
  const std::vector<VocabularyEntry>& entries_;
  std::vector<uint32_t> cells_;  // half of them stay empty
};

void require_every_byte(EntryTable& table) {
  std::string missing;
  int count = 0;
  for (int byte = 0; byte < 256; ++byte) {
    char c = static_cast<char>(byte);
    if (table[std::string_view(&c, 1)] != 0) continue;
    if (++count <= 8) missing += fmt::format(" 0x{:02x}", byte);
  }
  require(count == 0,
          "vocabulary: {} of the 256 single bytes have no token (missing:{}{}), so some texts could not be "
          "encoded; add a line for each",
          count, missing, count > 8 ? " ..." : "");
}

}  // namespace

std::vector<VocabularyEntry> parse_vocabulary(std::string_view text) {
  require(!text.empty(), "vocabulary: the text is empty, expected lines of the form `id literal length`");
  std::vector<VocabularyEntry> entries;
  std::vector<int64_t> line_of_entry;
  for (int64_t line = 1; !text.empty(); ++line) {
    size_t end = std::min(text.find('\n'), text.size());
    std::string_view content = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (content.ends_with('\r')) content.remove_suffix(1);
    entries.push_back(parse_line(content, line));
    line_of_entry.push_back(line);
  }
  EntryTable table(entries);
  auto by_id = [](const VocabularyEntry& a, const VocabularyEntry& b) { return a.id < b.id; };
  const int32_t largest = std::max_element(entries.begin(), entries.end(), by_id)->id;
  std::vector<int64_t> lines_of_id(static_cast<size_t>(largest) + 1);  // 0: none
  for (size_t i = 0; i < entries.size(); ++i) {
    int64_t& line = lines_of_id[static_cast<size_t>(entries[i].id)];
    require(line == 0, "vocabulary line {}: id {} was given before, in line {}", line_of_entry[i],
            entries[i].id, line);
    line = line_of_entry[i];
    uint32_t& cell = table[entries[i].bytes];
    if (cell != 0)
      fail("vocabulary line {}: token {} has the same bytes as the token of line {}", line_of_entry[i],
           entries[i].id, line_of_entry[cell - 1]);
    cell = static_cast<uint32_t>(i + 1);
  }
  require_every_byte(table);
  if (!std::is_sorted(entries.begin(), entries.end(), by_id))
    std::sort(entries.begin(), entries.end(), by_id);
  return entries;
}

std::string vocabulary_line(int32_t id, std::string_view bytes) {
  const bool plain =
      std::ranges::all_of(bytes, [](char c) { return c >= 0x20 && c < 0x7f && c != '\'' && c != '\\'; });
  if (plain) return fmt::format("{} '{}' {}\n", id, bytes, bytes.size());  // as are most tokens
  bool is_text = is_utf8(bytes);
  char quote =
      bytes.find('\'') != std::string_view::npos && bytes.find('"') == std::string_view::npos ? '"' : '\'';
  std::string line = std::to_string(id);
  line += is_text ? " " : " b";
  line += quote;
  auto escape = [&](uint8_t byte) {
    constexpr std::string_view digits = "0123456789abcdef";
    line += "\\x", line += digits[byte >> 4], line += digits[byte & 15];
  };
  for (size_t i = 0; i < bytes.size(); ++i) {
    char c = bytes[i];
    uint8_t byte = static_cast<uint8_t>(c);
    if (c == '\\' || c == quote)
      line += '\\', line += c;
    else if (c == '\n')
      line += "\\n";
    else if (c == '\r')
      line += "\\r";
    else if (c == '\t')
      line += "\\t";
    else if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !is_text))
      escape(byte);
    else if (byte == 0xc2 &&
             static_cast<uint8_t>(bytes[i + 1]) < 0xa0)  // the control characters U+0080 to U+009F
      escape(static_cast<uint8_t>(bytes[++i]));
    else
      line += c;
  }
  line += quote, line += ' ';
  return line + std::to_string(bytes.size()) + '\n';
}

}  // namespace aviary
