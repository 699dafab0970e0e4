#include "text/pieces.h"

#include "base/utf8.h"

namespace aviary {

namespace {

constexpr int longest_piece = 24;  // characters

enum class Class : uint8_t { letter, digit, punctuation, newline, space, other };

struct Unit {
  Class kind = Class::other;
  size_t length = 0;
};

bool is_punctuation(uint32_t c) {
  return (c >= 0xa1 && c <= 0xbf && c != 0xaa && c != 0xb5 && c != 0xba) || c == 0xd7 || c == 0xf7 ||
         (c >= 0x2010 && c <= 0x205e) || (c >= 0x3000 && c <= 0x303f && c != 0x3005) ||
         (c >= 0xff01 && c <= 0xff0f) || (c >= 0xff1a && c <= 0xff20) || (c >= 0xff3b && c <= 0xff40) ||
         (c >= 0xff5b && c <= 0xff65);
}

Class class_of_ascii(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return Class::letter;
  if (c >= '0' && c <= '9') return Class::digit;
  if (c == '\n' || c == '\r') return Class::newline;
  if (c == ' ' || c == '\t') return Class::space;
  return c > 0x20 && c < 0x7f ? Class::punctuation : Class::other;
}

// The class and the length of the first character.
Unit first_unit(std::string_view text) {
  if (text.empty()) return {};
  if (static_cast<uint8_t>(text[0]) < 0x80) return {class_of_ascii(text[0]), 1};
  Utf8Step step = utf8_step(text);
  if (step.kind != Utf8Kind::character) return {Class::other, 1};
  size_t length = static_cast<size_t>(step.length);
  bool punctuation = is_punctuation(utf8_code_point(text.substr(0, length)));
  return {punctuation ? Class::punctuation : Class::letter, length};
}

}  // namespace

std::string_view Pieces::next() {
  Unit first = first_unit(rest_);
  size_t end = first.length;
  int characters = 1;
  Class kind = first.kind;
  if (end > 0 && (rest_[0] == ' ' || rest_[0] == '\'')) {  // it may be the start of a longer piece
    Unit second = first_unit(rest_.substr(1));
    bool joins = second.kind == Class::letter || (rest_[0] == ' ' && second.kind == Class::punctuation);
    if (joins) kind = second.kind, end += second.length, ++characters;
  }
  if (kind != Class::digit && kind != Class::other) {
    for (; characters < longest_piece; ++characters) {
      Unit unit = first_unit(rest_.substr(end));
      if (unit.length == 0 || unit.kind != kind) break;
      end += unit.length;
    }
  }
  std::string_view piece = rest_.substr(0, end);
  rest_.remove_prefix(end);
  return piece;
}

}  // namespace aviary
