#include "http/parser.h"

#include <algorithm>

#include "fuzz.h"

namespace {

using namespace aviary;
using State = http::RequestParser::State;

constexpr uint64_t body_limit = 1 << 16;

void expect_sound(const http::HttpRequest& request) {
  fuzz::expect(!request.path.empty() && (request.path.front() == '/' || request.path == "*"),
               "a path begins with a slash");
  fuzz::expect(request.path.find('\0') == std::string::npos &&
                   ("/" + request.path + "/").find("/../") == std::string::npos,
               "a path stays within its root");
  fuzz::expect(request.headers.size() <= http::ParserLimits().headers,
               "the number of header lines is limited");
  for (const auto& [name, value] : request.headers)
    fuzz::expect(http::is_token(name) && std::all_of(value.begin(), value.end(), http::is_field_byte) &&
                     http::trimmed(value) == value && http::lower_case(name) == name,
                 "header fields are well-formed");
  fuzz::expect(request.minor_version == 0 || http::parse_authority(request.host),
               "a request of HTTP/1.1 has a host");
  fuzz::expect(request.body.size() <= body_limit, "a body is limited");
  request.query_value("a");
}

// The requests of a connection on which the bytes arrive in pieces of these sizes, as one text.
std::string read_all(std::string_view bytes, const uint8_t* sizes, size_t size_count) {
  std::string seen;
  http::RequestParser parser;
  for (size_t i = 0; !bytes.empty() && parser.state() != State::refused; ++i) {
    std::string_view piece = bytes.substr(0, size_count > 0 ? sizes[i % size_count] % 32 + 1 : bytes.size());
    bytes.remove_prefix(piece.size());
    while (!piece.empty() && parser.state() != State::refused) {
      const size_t used = parser.feed(piece);
      fuzz::expect(used > 0 && used <= piece.size(), "the parser goes on");
      piece.remove_prefix(used);
      if (parser.state() == State::head_complete) parser.read_body(body_limit);
      if (parser.state() != State::complete) continue;
      const http::HttpRequest request = parser.take();
      expect_sound(request);
      for (const auto& [name, value] : request.headers) seen += name + ":" + value + "\n";
      seen += request.method + " " + request.path + "?" + request.query + " " + request.host + "\n" +
              request.body + "\n";
    }
  }
  if (parser.state() != State::refused) return seen + (parser.is_fresh() ? "end" : "more");
  const http::Refusal& refusal = parser.refusal();
  fuzz::expect(refusal.status >= 400 && !refusal.message.empty() && refusal.message.size() < 4096 &&
                   std::all_of(refusal.message.begin(), refusal.message.end(), http::is_field_byte),
               "a refusal is one sentence on one line");
  return seen + refusal.message;
}

}  // namespace

// The result does not depend on how the bytes are divided; the input decides about that, too.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = fuzz::as_text(data, size);
  const std::string whole = read_all(bytes, nullptr, 0);
  fuzz::expect(read_all(bytes, data, size) == whole, "the result does not depend on how the bytes arrived");
  constexpr uint8_t single = 0;
  fuzz::expect(read_all(bytes, &single, 1) == whole, "nor on whether they arrived one by one");
  return 0;
}
