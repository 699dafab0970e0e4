#include "chat/clean.h"

#include <algorithm>

#include "base/utf8.h"

namespace aviary {

std::string_view trimmed(std::string_view text) {
  size_t begin = text.size(), end = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text.substr(at));
    const auto length = static_cast<size_t>(step.length);
    if (step.kind != Utf8Kind::character || !is_white_space(utf8_code_point(text.substr(at, length)))) {
      begin = std::min(begin, at);
      end = at + length;
    }
    at += length;
  }
  return begin < end ? text.substr(begin, end - begin) : std::string_view();
}

std::string unix_lines(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] != '\r' || i + 1 == text.size() || text[i + 1] != '\n') result += text[i];
  return result;
}

std::string clean_turn(std::string_view text) {
  std::string result;
  for (char c : unix_lines(trimmed(text)))
    if (c != '\n' || !result.ends_with('\n')) result += c;
  return result;
}

std::string without_billing_line(std::string_view text) {
  if (!text.starts_with("x-anthropic-billing-header")) return std::string(text);
  const size_t end = text.find('\n');
  return end == std::string_view::npos ? std::string() : std::string(trimmed(text.substr(end)));
}

}  // namespace aviary
