#include "base/quotes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdint>

namespace aviary {
namespace {

struct Character {
  uint32_t code = 0;
  size_t length = 0;  // 0: these bytes are no character in UTF-8
};

// The character that the text, which is not empty, begins with.
Character first_character(std::string_view text) {
  constexpr uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};  // a smaller code has a shorter form
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc0 || lead > 0xf7 || text.size() < length) return {};
  uint32_t code = lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3fu);
  }
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  return code < least[length] || code > 0x10ffff || surrogate ? Character{} : Character{code, length};
}

// Control characters, line and paragraph separators, and the marks of bidirectional text.
bool acts_on_the_terminal(uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const Character character = first_character(text);
    const std::string_view piece = text.substr(0, character.length ? character.length : 1);
    text.remove_prefix(piece.size());
    if (character.length && !acts_on_the_terminal(character.code))
      shown += piece;
    else if (piece == "\n")
      shown += "\\n";
    else
      for (const char c : piece) shown += fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
  }
  return shown;
}

std::string in_quotes(std::string_view name) {
  constexpr size_t longest = 80;
  size_t end = name.size() > longest ? longest : name.size();
  // Not within a character: its further bytes are 10xxxxxx.
  for (int i = 0; i < 3 && end < name.size() && (static_cast<uint8_t>(name[end]) & 0xc0) == 0x80; ++i) --end;
  return fmt::format("'{}{}'", printable(name.substr(0, end)), end < name.size() ? "..." : "");
}

namespace {

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// Means itself to every shell. Bytes of other alphabets do, too.
bool is_plain(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || static_cast<unsigned char>(c) >= 0x80 ||
         std::string_view("_@%+=:,./-").find(c) != std::string_view::npos;
}

}  // namespace

std::string for_shell(std::string_view word) {
  if (!word.empty() && std::all_of(word.begin(), word.end(), is_plain)) return std::string(word);
  const bool control = std::any_of(word.begin(), word.end(), is_control);
  std::string text = control ? "$'" : "'";
  for (char c : word) {
    if (control && is_control(c))
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
