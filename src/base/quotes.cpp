#include "base/quotes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdint>

#include "base/utf8.h"

namespace aviary {
namespace {

// Control characters, line and paragraph separators, and the marks of bidirectional text.
bool acts_on_the_terminal(uint32_t c) {
  return is_control(c) || c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
         (c >= 0x2066 && c <= 0x2069);
}

// printable() of at most `longest` bytes.
std::string beginning(std::string_view text, size_t longest) {
  size_t end = std::min(longest, text.size());
  // Not within a character: its further bytes are 10xxxxxx.
  for (int i = 0; i < 3 && end < text.size() && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80; ++i) --end;
  return printable(text.substr(0, end)) + (end < text.size() ? "..." : "");
}

}  // namespace

std::string printable(std::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    const std::string_view piece = text.substr(0, static_cast<size_t>(step.length));
    text.remove_prefix(piece.size());
    if (step.kind == Utf8Kind::character && !acts_on_the_terminal(utf8_code_point(piece)))
      shown += piece;
    else if (piece == "\n")
      shown += "\\n";
    else
      for (const char c : piece) shown += fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
  }
  return shown;
}

std::string for_terminal(std::string_view text) {
  std::string shown;
  for (;;) {
    const size_t kept = std::min(text.find_first_of("\n\t"), text.size());
    shown += printable(text.substr(0, kept));
    if (kept == text.size()) return shown;
    shown += text[kept];
    text.remove_prefix(kept + 1);
  }
}

std::string excerpt(std::string_view text) { return beginning(text, 40); }

std::string in_quotes(std::string_view name) { return fmt::format("'{}'", beginning(name, 80)); }

namespace {

bool is_ascii_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// Means itself to every shell. Bytes of other alphabets do, too.
bool is_plain(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || static_cast<unsigned char>(c) >= 0x80 ||
         std::string_view("_@%+=:,./-").find(c) != std::string_view::npos;
}

}  // namespace

std::string for_shell(std::string_view word) {
  if (!word.empty() && std::all_of(word.begin(), word.end(), is_plain)) return std::string(word);
  const bool control = std::any_of(word.begin(), word.end(), is_ascii_control);
  std::string text = control ? "$'" : "'";
  for (char c : word) {
    if (control && is_ascii_control(c))
      text += c == '\n' ? "\\n" : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else if (control && (c == '\'' || c == '\\'))
      text += std::string("\\") + c;
    else
      text += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return text + "'";
}

std::string path_for_shell(std::string_view path) {
  return for_shell(path.starts_with('-') ? "./" + std::string(path) : std::string(path));
}

}  // namespace aviary
