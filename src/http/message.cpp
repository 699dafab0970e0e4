#include "http/message.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace aviary::http {

std::string_view status_phrase(int status) {
  static constexpr std::pair<int, std::string_view> phrases[] = {
      {100, "Continue"},
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {206, "Partial Content"},
      {301, "Moved Permanently"},
      {302, "Found"},
      {303, "See Other"},
      {304, "Not Modified"},
      {307, "Temporary Redirect"},
      {308, "Permanent Redirect"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {406, "Not Acceptable"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {411, "Length Required"},
      {412, "Precondition Failed"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {416, "Range Not Satisfiable"},
      {417, "Expectation Failed"},
      {422, "Unprocessable Content"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {499, "Client Closed Request"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
      {505, "HTTP Version Not Supported"},
      {507, "Insufficient Storage"},
  };
  for (const auto& [number, phrase] : phrases)
    if (number == status) return phrase;
  return "Status";
}

std::string_view error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "unavailable_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

std::string error_json(const Refusal& refusal) {
  using Json = nlohmann::ordered_json;
  Json error;
  error["message"] = refusal.message;
  error["type"] = refusal.type.empty() ? std::string(error_type(refusal.status)) : refusal.type;
  error["code"] = refusal.code.empty() ? Json() : Json(refusal.code);
  return Json{{"error", error}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Headers event_stream_headers() {
  return {{"Content-Type", "text/event-stream"}, {"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}};
}

Headers page_headers() {
  return {
      {"Content-Security-Policy",
       "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
       "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Resource-Policy", "same-origin"}};
}

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

bool is_token_byte(char c) {
  return is_digit(c) || is_letter(c) ||
         (c != 0 && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos);
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_byte);
}

bool is_field_byte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return lower;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool list_contains(std::string_view list, std::string_view word) {
  while (true) {
    const size_t comma = list.find(',');
    if (lower_case(trimmed(list.substr(0, comma))) == word) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<Authority> parse_authority(std::string_view text) {
  Authority authority;
  size_t end = 0;
  if (text.starts_with('[')) {
    end = text.find(']');
    if (end == std::string_view::npos || end < 3) return {};
    const std::string_view inside = text.substr(1, end - 1);
    if (inside.find(':') == std::string_view::npos || !std::all_of(inside.begin(), inside.end(), [](char c) {
          return hex_digit(c) >= 0 || c == ':' || c == '.';
        }))
      return {};
    ++end;
  } else {
    while (end < text.size() && (is_digit(text[end]) || is_letter(text[end]) ||
                                 std::string_view("-._~").find(text[end]) != std::string_view::npos))
      ++end;
    if (end == 0 || end > 253) return {};
  }
  authority.host = lower_case(text.substr(0, end));
  if (end == text.size()) return authority;
  const std::string_view port = text.substr(end + 1);
  if (text[end] != ':' || port.size() > 5 || !std::all_of(port.begin(), port.end(), is_digit)) return {};
  if (port.empty()) return authority;
  authority.port = 0;
  for (const char digit : port) authority.port = authority.port * 10 + (digit - '0');
  if (authority.port > 65535) return {};
  return authority;
}

LineReader::Result LineReader::add(char c) {
  if (after_cr_) {
    after_cr_ = false;
    return c == '\n' ? Result::complete : Result::bad;
  }
  if (c == '\r') {
    after_cr_ = true;
    return Result::more;
  }
  if (!is_field_byte(c)) return Result::bad;
  line_ += c;
  return Result::more;
}

const char* add_field(std::string_view line, Headers& headers) {
  if (line.starts_with(' ') || line.starts_with('\t')) return "a header line begins with white space";
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return "a header line has no colon";
  const std::string_view name = line.substr(0, colon);
  if (!is_token(name))
    return "the name of a header field is empty or has characters that are not allowed in it";
  headers.emplace_back(lower_case(name), trimmed(line.substr(colon + 1)));
  return nullptr;
}

}  // namespace aviary::http
