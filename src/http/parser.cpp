#include "http/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/quotes.h"
#include "http/target.h"

namespace aviary::http {
namespace {

constexpr size_t longest_method = 16;
constexpr size_t length_of_version = 8;  // HTTP/1.1

bool is_known_method(std::string_view method) {
  for (const char* known : {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
    if (method == known) return true;
  return false;
}

bool is_version(std::string_view text) {
  auto is_digit = [&](size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  return text.size() == length_of_version && text.starts_with("HTTP/") && is_digit(5) && text[6] == '.' &&
         is_digit(7);
}

}  // namespace

const std::string* HttpRequest::header(std::string_view lower_name) const {
  for (const auto& [name, value] : headers)
    if (name == lower_name) return &value;
  return nullptr;
}

Headers HttpRequest::query_fields() const {
  Headers fields;
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    const size_t sign = part.find('=');
    const std::optional<std::string> name = percent_decoded(part.substr(0, sign), true);
    const std::optional<std::string> value =
        percent_decoded(sign == std::string_view::npos ? "" : part.substr(sign + 1), true);
    if (name && value) fields.emplace_back(*name, *value);
  }
  return fields;
}

std::optional<std::string> HttpRequest::query_value(std::string_view name) const {
  for (auto& [its_name, value] : query_fields())
    if (its_name == name) return value;
  return {};
}

RequestParser::RequestParser(ParserLimits limits) : limits_(limits) {}

void RequestParser::refuse(int status, std::string_view sentence) {
  if (state_ == State::refused) return;
  state_ = State::refused;
  refusal_ = {.status = status, .message = printable(sentence)};
}

size_t RequestParser::feed(std::string_view bytes) {
  size_t used = 0;
  while (used < bytes.size() && state_ == State::need_more) {
    if (has_body())  // known from the end of the head on
      used += add_body(bytes.substr(used));
    else
      add_head_byte(bytes[used++]);
  }
  return used;
}

size_t RequestParser::add_body(std::string_view bytes) {
  if (!chunked_) {
    const auto used = static_cast<size_t>(std::min<uint64_t>(bytes.size(), length_ - request_.body.size()));
    request_.body.append(bytes.substr(0, used));
    if (request_.body.size() == length_) state_ = State::complete;
    return used;
  }
  const size_t used = chunks_->feed(bytes, request_.body);
  if (chunks_->bad()) refuse(chunks_->status(), chunks_->sentence());
  if (chunks_->complete()) state_ = State::complete;
  return used;
}

void RequestParser::read_body(uint64_t limit) {
  if (state_ != State::head_complete) return;
  state_ = has_body() ? State::need_more : State::complete;
  if (chunked_) chunks_.emplace(limit);
  if (length_ > limit)
    refuse(413, fmt::format("the body is longer than {} bytes, which is the limit here", limit));
}

HttpRequest RequestParser::take() {
  HttpRequest request = std::move(request_);
  *this = RequestParser(limits_);
  return request;
}

void RequestParser::add_head_byte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  fresh_ = fresh_ && (c == '\r' || c == '\n');
  if (in_request_line_ && (byte > 0x7e || c == '\t'))
    return refuse(400, "the request line contains a byte that is not a visible ASCII character");
  if (!in_request_line_ && ++header_bytes_ > limits_.header_bytes)
    return refuse(431, fmt::format("the header lines are longer than {} bytes", limits_.header_bytes));
  switch (line_.add(c)) {
    case LineReader::Result::bad:
      return refuse(400, "the lines of a request must end with CR LF and have no control bytes");
    case LineReader::Result::complete:
      return end_line();
    case LineReader::Result::more:
      break;
  }
  if (!in_request_line_) return;
  const std::string_view line = line_.line();
  const size_t space = line.find(' ');
  if (space == std::string_view::npos && line.size() > longest_method)
    refuse(is_token(line) ? 501 : 400, fmt::format("the method is longer than {} bytes", longest_method));
  else if (line.size() > longest_method + 2 + limits_.target + length_of_version)
    refuse(414, fmt::format("the target of the request is longer than {} bytes", limits_.target));
}

void RequestParser::end_line() {
  const std::string& line = line_.line();
  if (!in_request_line_ && line.empty()) {
    end_head();
  } else if (!in_request_line_) {
    if (request_.headers.size() == limits_.headers)
      return refuse(431, fmt::format("there are more than {} header lines", limits_.headers));
    if (const char* fault = add_field(line, request_.headers)) refuse(400, fault);
  } else if (line.empty() && !skipped_empty_line_) {
    skipped_empty_line_ = true;
  } else {
    read_request_line(line);
  }
  line_.clear();
}

void RequestParser::read_request_line(std::string_view line) {
  in_request_line_ = false;
  const size_t first = line.find(' '), second = line.find(' ', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos || second == first + 1 ||
      !is_token(line.substr(0, first)) || !is_version(line.substr(second + 1)))
    return refuse(400, "the request line is not `METHOD target HTTP/1.1` with single spaces");
  const std::string_view version = line.substr(second + 1);
  if (version != "HTTP/1.1" && version != "HTTP/1.0")
    return refuse(505, fmt::format("{} is not spoken here, only HTTP/1.1 and HTTP/1.0", version));
  request_.minor_version = version.back() - '0';
  request_.method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, second - first - 1);
  if (target.size() > limits_.target)
    return refuse(414, fmt::format("the target of the request is longer than {} bytes", limits_.target));
  if (const char* fault = read_target(target, request_)) return refuse(400, fault);
  if (!is_known_method(request_.method))
    refuse(501, fmt::format("the method {} is not known here", in_quotes(request_.method)));
}

void RequestParser::end_head() {
  read_host();
  read_framing();
  read_connection();
  if (state_ == State::need_more) state_ = State::head_complete;
}

void RequestParser::read_host() {
  const auto is_host = [](const auto& header) { return header.first == "host"; };
  const auto count = std::count_if(request_.headers.begin(), request_.headers.end(), is_host);
  if (count > 1 || (count == 0 && request_.minor_version == 1))
    return refuse(400, fmt::format("the request has {} Host fields instead of one", count));
  if (count == 0) return;
  const std::string& host = *request_.header("host");
  if (!parse_authority(host)) return refuse(400, "the Host field is not a host with an optional port");
  if (request_.host.empty()) request_.host = lower_case(host);
}

// How the end of the body is found (RFC 9112, 6.3).
void RequestParser::read_framing() {
  const std::string* length = nullptr;
  std::string codings;
  bool is_coded = false;
  for (const auto& [name, value] : request_.headers) {
    if (name == "content-length") {
      if (length) return refuse(400, "there are two Content-Length fields");
      length = &value;
    }
    if (name == "transfer-encoding") {
      codings += is_coded ? "," + value : value;
      is_coded = true;
    }
  }
  if (length && is_coded) return refuse(400, "there are both a Content-Length and a Transfer-Encoding field");
  if (length) read_length(*length);
  if (is_coded) read_transfer_encoding(codings);
}

void RequestParser::read_length(std::string_view digits) {
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos)
    return refuse(400, "the Content-Length is not a number of decimal digits");
  constexpr uint64_t most = std::numeric_limits<uint64_t>::max();
  for (const char c : digits) {
    const auto digit = static_cast<uint64_t>(c - '0');
    length_ = length_ > (most - digit) / 10 ? most : length_ * 10 + digit;
  }
}

void RequestParser::read_transfer_encoding(const std::string& codings) {
  if (request_.minor_version == 0) return refuse(400, "HTTP/1.0 has no Transfer-Encoding");
  if (lower_case(codings) == "chunked") {
    chunked_ = true;
    return;
  }
  int chunked = 0, others = 0;
  for (std::string_view rest = codings; !rest.empty();) {
    const std::string_view coding = rest.substr(0, rest.find(','));
    ++(lower_case(trimmed(coding)) == "chunked" ? chunked : others);
    rest.remove_prefix(std::min(rest.size(), coding.size() + 1));
  }
  if (others == 0) return refuse(400, "the Transfer-Encoding is not `chunked`, once");
  refuse(501, "the only Transfer-Encoding known here is `chunked`");
}

void RequestParser::read_connection() {
  bool close = false, keep = false;
  for (const auto& [name, value] : request_.headers) {
    if (name == "connection") {
      close = close || list_contains(value, "close");
      keep = keep || list_contains(value, "keep-alive");
    }
    if (name == "expect" && request_.minor_version == 1) {
      if (lower_case(value) != "100-continue")
        return refuse(417, "the only expectation known here is `100-continue`");
      request_.expects_continue = true;
    }
  }
  request_.keep_alive = !close && (request_.minor_version == 1 || keep);
}

}  // namespace aviary::http
