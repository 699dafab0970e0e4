#include "terminal/keys.h"

#include <algorithm>

#include "base/utf8.h"

namespace aviary {
namespace {

using Kind = Key::Kind;

constexpr std::string_view paste_begin = "\033[200~", paste_end = "\033[201~";

struct Sequence {
  std::string_view bytes;
  Kind kind;
};

constexpr Sequence sequences[] = {
    {"\033[A", Kind::up},           {"\033OA", Kind::up},
    {"\033[B", Kind::down},         {"\033OB", Kind::down},
    {"\033[C", Kind::right},        {"\033OC", Kind::right},
    {"\033[D", Kind::left},         {"\033OD", Kind::left},
    {"\033[H", Kind::home},         {"\033OH", Kind::home},
    {"\033[1~", Kind::home},        {"\033[F", Kind::end},
    {"\033OF", Kind::end},          {"\033[4~", Kind::end},
    {"\033[3~", Kind::erase},       {"\033[1;5C", Kind::word_right},
    {"\033[1;5D", Kind::word_left}, {"\033[1;3C", Kind::word_right},
    {"\033[1;3D", Kind::word_left}, {"\033f", Kind::word_right},
    {"\033b", Kind::word_left},     {"\033\x7f", Kind::kill_word},
};

Kind control_key(char c) {
  switch (c) {
    case '\r':
    case '\n':
      return Kind::enter;
    case 1:
      return Kind::home;
    case 2:
      return Kind::left;
    case 3:
      return Kind::interrupt;
    case 4:
      return Kind::leave;
    case 5:
      return Kind::end;
    case 6:
      return Kind::right;
    case 7:
      return Kind::editor;
    case 8:
    case 127:
      return Kind::backspace;
    case 11:
      return Kind::kill_to_end;
    case 12:
      return Kind::clear_screen;
    case 14:
      return Kind::down;
    case 16:
      return Kind::up;
    case 18:
      return Kind::search;
    case 21:
      return Kind::kill_to_start;
    case 23:
      return Kind::kill_word;
    default:
      return Kind::other;
  }
}

bool is_control_byte(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 127; }

}  // namespace

Key KeyReader::take(size_t length, Kind kind) {
  Key key{kind, kind == Kind::text ? bytes_.substr(0, length) : std::string()};
  bytes_.erase(0, length);
  return key;
}

std::optional<Key> KeyReader::pasted() {
  const size_t end = bytes_.find(paste_end);
  if (end == std::string::npos) return {};
  Key key{Kind::paste, {}};
  for (size_t i = paste_begin.size(); i < end; ++i) {
    const char c = bytes_[i];
    if (c == '\r' && bytes_[i + 1] == '\n') continue;
    key.text += c == '\r' ? '\n' : c;
  }
  bytes_.erase(0, end + paste_end.size());
  return key;
}

std::optional<Key> KeyReader::escape_sequence() {
  if (bytes_.starts_with(paste_begin)) return pasted();
  for (const Sequence& one : sequences)
    if (bytes_.starts_with(one.bytes)) return take(one.bytes.size(), one.kind);
  if (bytes_.size() == 1) return {};
  if (bytes_[1] != '[' && bytes_[1] != 'O') return take(2, Kind::other);
  // Parameters, then a final byte (ECMA-48).
  size_t end = 2;
  while (end < bytes_.size() && bytes_[end] >= 0x20 && bytes_[end] < 0x40) ++end;
  if (end == bytes_.size()) return {};
  return take(end + 1, Kind::other);
}

std::optional<Key> KeyReader::next() {
  if (bytes_.empty()) return {};
  if (bytes_[0] == '\033') return escape_sequence();
  if (is_control_byte(bytes_[0])) return take(1, control_key(bytes_[0]));
  const auto end = std::find_if(bytes_.begin(), bytes_.end(), is_control_byte);
  const size_t length =
      valid_utf8_length(std::string_view(bytes_).substr(0, static_cast<size_t>(end - bytes_.begin())));
  if (length > 0) return take(length, Kind::text);
  const Utf8Step step = utf8_step(bytes_);
  if (step.kind == Utf8Kind::incomplete && bytes_.size() < 4) return {};
  return take(static_cast<size_t>(step.length), Kind::other);
}

}  // namespace aviary
