#include "base/utf8.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cstring>

#include "base/error.h"

namespace aviary {

namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";  // U+FFFD

uint8_t byte_at(std::string_view text, size_t i) { return static_cast<uint8_t>(text[i]); }

// The allowed second bytes after a leading byte (table 3-7 of the Unicode standard) and the length it
// announces.
struct Lead {
  int32_t length;
  uint8_t low, high;
};

Lead lead_of(uint8_t first) {
  if (first < 0xc2) return {0, 0, 0};  // a continuation byte, or an overlong form of ASCII
  if (first < 0xe0) return {2, 0x80, 0xbf};
  if (first == 0xe0) return {3, 0xa0, 0xbf};
  if (first == 0xed) return {3, 0x80, 0x9f};  // others would be surrogates
  if (first < 0xf0) return {3, 0x80, 0xbf};
  if (first == 0xf0) return {4, 0x90, 0xbf};
  if (first < 0xf4) return {4, 0x80, 0xbf};
  if (first == 0xf4) return {4, 0x80, 0x8f};
  return {0, 0, 0};
}

}  // namespace

Utf8Step utf8_step(std::string_view text) {
  if (text.empty()) return {};
  uint8_t first = byte_at(text, 0);
  if (first < 0x80) return {Utf8Kind::character, 1};
  Lead lead = lead_of(first);
  if (lead.length == 0) return {Utf8Kind::invalid, 1};
  int32_t length = 1;
  for (; length < lead.length && length < static_cast<int32_t>(text.size()); ++length) {
    uint8_t byte = byte_at(text, static_cast<size_t>(length));
    uint8_t low = length == 1 ? lead.low : uint8_t{0x80};
    uint8_t high = length == 1 ? lead.high : uint8_t{0xbf};
    if (byte < low || byte > high) return {Utf8Kind::invalid, length};
  }
  return {length == lead.length ? Utf8Kind::character : Utf8Kind::incomplete, length};
}

uint32_t utf8_code_point(std::string_view character) {
  assert(!character.empty());
  uint8_t first = byte_at(character, 0);
  if (character.size() == 1) return first;
  uint32_t code_point = first & (0xffu >> (character.size() + 1));
  for (size_t i = 1; i < character.size(); ++i)
    code_point = (code_point << 6) | (byte_at(character, i) & 0x3fu);
  return code_point;
}

void append_utf8(std::string& text, uint32_t code_point) {
  assert(code_point <= 0x10ffff && (code_point < 0xd800 || code_point > 0xdfff));
  auto continuation = [&](int shift) { text += static_cast<char>(0x80 | ((code_point >> shift) & 0x3f)); };
  if (code_point < 0x80) {
    text += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    text += static_cast<char>(0xc0 | (code_point >> 6));
    continuation(0);
  } else if (code_point < 0x10000) {
    text += static_cast<char>(0xe0 | (code_point >> 12));
    continuation(6), continuation(0);
  } else {
    text += static_cast<char>(0xf0 | (code_point >> 18));
    continuation(12), continuation(6), continuation(0);
  }
}

std::string utf8_of_utf16(std::string_view bytes) {
  require(bytes.size() >= 2 && bytes.size() % 2 == 0,
          "UTF-16: the text has {} bytes, expected an even number", bytes.size());
  const size_t high = byte_at(bytes, 0) == 0xff ? 1 : 0;  // FF FE: the low byte comes first
  auto unit_at = [&](size_t i) {
    return static_cast<uint32_t>(byte_at(bytes, i + high) << 8 | byte_at(bytes, i + 1 - high));
  };
  std::string text;
  for (size_t i = 2; i < bytes.size(); i += 2) {
    uint32_t c = unit_at(i);
    if (c >= 0xd800 && c < 0xe000) {
      const uint32_t second = i + 2 < bytes.size() ? unit_at(i + 2) : 0;
      require(c < 0xdc00 && second >= 0xdc00 && second < 0xe000,
              "UTF-16: the code unit at byte {} is an unpaired surrogate (U+{:04X})", i, c);
      c = 0x10000 + ((c - 0xd800) << 10) + (second - 0xdc00);
      i += 2;
    }
    append_utf8(text, c);
  }
  return text;
}

size_t valid_utf8_length(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    uint64_t eight = 0;  // eight ASCII bytes at a time, the common case
    if (text.size() - at >= sizeof eight) std::memcpy(&eight, text.data() + at, sizeof eight);
    if (text.size() - at >= sizeof eight && (eight & 0x8080808080808080) == 0) {
      at += sizeof eight;
      continue;
    }
    Utf8Step step = utf8_step(text.substr(at));
    if (step.kind != Utf8Kind::character) break;
    at += static_cast<size_t>(step.length);
  }
  return at;
}

bool is_utf8(std::string_view text) { return valid_utf8_length(text) == text.size(); }

int64_t count_invalid_utf8(std::string_view text) {
  int64_t invalid = 0;
  for (;;) {
    text.remove_prefix(valid_utf8_length(text));
    if (text.empty()) return invalid;
    Utf8Step step = utf8_step(text);
    invalid += step.length;
    text.remove_prefix(static_cast<size_t>(step.length));
  }
}

bool is_white_space(uint32_t c) {
  return c == ' ' || (c >= 0x09 && c <= 0x0d) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

bool is_control(uint32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0); }

std::string unescaped(std::string_view text) {
  constexpr std::string_view letters = "ntr\\\"'", meanings = "\n\t\r\\\"'";
  std::string bytes;
  for (size_t at = 0; at < text.size();) {
    if (text[at] != '\\') {
      bytes += text[at++];
      continue;
    }
    const char kind = at + 1 < text.size() ? text[at + 1] : '\0';
    const size_t letter = letters.find(kind), digits = kind == 'x' ? 2 : kind == 'u' ? 4 : 0;
    const std::string_view number = text.substr(std::min(at + 2, text.size()), digits);
    uint32_t value = 0;
    const auto [last, error] = std::from_chars(number.data(), number.data() + number.size(), value, 16);
    const bool hexadecimal = digits > 0 && error == std::errc() && last == text.data() + at + 2 + digits;
    const bool surrogate = kind == 'u' && value >= 0xd800 && value <= 0xdfff;
    require(letter != letters.npos || (hexadecimal && !surrogate),
            "\"{}\" is no escape; expected \\n, \\t, \\r, \\\\, \\\", \\', \\xHH or \\uHHHH",
            excerpt(text.substr(at, 2 + digits)));
    if (letter != letters.npos)
      bytes += meanings[letter];
    else if (kind == 'x')
      bytes += static_cast<char>(value);
    else
      append_utf8(bytes, value);
    at += 2 + digits;
  }
  return bytes;
}

std::string Utf8Stream::push(std::string_view bytes) {
  std::string joined;
  if (!pending_.empty()) {
    joined = pending_.append(bytes);
    bytes = joined;
    pending_.clear();
  }
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    Utf8Step step = utf8_step(bytes);
    if (step.kind == Utf8Kind::incomplete) {
      pending_ = bytes;
      break;
    }
    out += step.kind == Utf8Kind::character ? bytes.substr(0, static_cast<size_t>(step.length)) : replacement;
    bytes.remove_prefix(static_cast<size_t>(step.length));
  }
  return out;
}

std::string Utf8Stream::flush() {
  bool unfinished = !pending_.empty();
  pending_.clear();
  return unfinished ? std::string(replacement) : std::string();
}

}  // namespace aviary
