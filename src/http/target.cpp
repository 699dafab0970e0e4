#include "http/target.h"

#include "base/utf8.h"

namespace aviary::http {
namespace {

bool has_parent_part(std::string_view path) {
  while (true) {
    const size_t slash = path.find('/');
    if (path.substr(0, slash) == "..") return true;
    if (slash == std::string_view::npos) return false;
    path.remove_prefix(slash + 1);
  }
}

const char* read_path(std::string_view text, HttpRequest& request) {
  std::optional<std::string> path = percent_decoded(text);
  if (!path) return "a percent sign in the path is not followed by two hexadecimal digits";
  for (const char c : *path)
    if (!is_field_byte(c) || c == '\t') return "the path contains a control character";
  if (!is_utf8(*path)) return "the path is not UTF-8";
  if (has_parent_part(*path)) return "the path contains `..`";
  request.path = std::move(*path);
  return nullptr;
}

}  // namespace

std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      decoded += ' ';
    } else if (text[i] != '%') {
      decoded += text[i];
    } else {
      if (i + 2 >= text.size() || hex_digit(text[i + 1]) < 0 || hex_digit(text[i + 2]) < 0) return {};
      decoded += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    }
  }
  return decoded;
}

const char* read_target(std::string_view target, HttpRequest& request) {
  request.target = target;
  if (target == "*" && request.method == "OPTIONS") {
    request.path = request.target;
    return nullptr;
  }
  constexpr std::string_view scheme = "http://";
  if (lower_case(target.substr(0, scheme.size())) == scheme) {
    target.remove_prefix(scheme.size());
    const std::string_view authority = target.substr(0, target.find_first_of("/?#"));
    if (!parse_authority(authority)) return "the target does not name a host";
    request.host = lower_case(authority);
    target.remove_prefix(authority.size());
  } else if (!target.starts_with('/')) {
    return "the target does not begin with a slash";
  }
  if (target.find('#') != std::string_view::npos) return "the target contains a `#`";
  const size_t mark = target.find('?');
  if (mark != std::string_view::npos) request.query = target.substr(mark + 1);
  if (!percent_decoded(request.query))
    return "a percent sign in the query is not followed by two hexadecimal digits";
  const std::string_view path = target.substr(0, mark);
  return read_path(path.empty() ? "/" : path, request);
}

}  // namespace aviary::http
