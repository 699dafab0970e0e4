// A strict parser of HTTP/1.1 requests (RFC 9112): bytes in, a request or a refusal out. It has no sockets
// and no clock, and its result does not depend on how the bytes were divided when they arrived.
//
// Stricter than the standard demands, because two readers of one message must not disagree about its end:
// lines end with CR LF only, no folded lines, one Content-Length, no Transfer-Encoding but `chunked`, never
// both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace aviary::http {

struct HttpRequest {
  std::string method;  // GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS
  std::string target;  // as sent
  std::string
      path;  // decoded, valid UTF-8 without control characters and without `..` parts; "*" for OPTIONS *
  std::string query;      // what follows the first `?`, not decoded
  std::string host;       // host[:port] of the target, otherwise of the Host field; may be empty for HTTP/1.0
  int minor_version = 1;  // HTTP/1.0 or HTTP/1.1
  Headers headers;        // names in lower case
  std::string body;
  bool keep_alive = true;         // the client wants to go on using the connection
  bool expects_continue = false;  // the client waits for "100 Continue" before it sends the body

  // The value of the first field with this name, which is in lower case; nullptr if there is none.
  const std::string* header(std::string_view lower_name) const;
  // The decoded names and values of the query, without those that cannot be decoded; the value of a name
  // alone is empty.
  Headers query_fields() const;
  // The decoded value of the first part `name=value` of the query; empty for a name alone. Nothing if the
  // query has no such name.
  std::optional<std::string> query_value(std::string_view name) const;
};

// The bytes that %XX stand for, and, if `plus_is_space`, a space for each plus (in queries). Nothing if a
// percent sign is not followed by two hexadecimal digits.
std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_space = false);

struct ParserLimits {
  size_t target = 8 << 10;         // bytes; longer: 414
  size_t header_bytes = 16 << 10;  // of all header lines; longer: 431
  size_t headers = 100;            // number of header lines; more: 431
};

class RequestParser {
 public:
  enum class State : uint8_t {
    need_more,      // feed() more bytes
    head_complete,  // head() can be read; the body is read after read_body()
    complete,       // take() returns the request
    refused         // refusal() says why; the connection can only be closed
  };

  explicit RequestParser(ParserLimits limits = {});

  // Reads bytes until the state is another than need_more; returns how many were used.
  size_t feed(std::string_view bytes);
  State state() const { return state_; }

  // Whether nothing of a request has arrived yet. An empty line before it does not count.
  bool is_fresh() const { return fresh_; }
  // Method, target and headers, from head_complete on.
  const HttpRequest& head() const { return request_; }
  // Whether the head announces a body.
  bool has_body() const { return chunked_ || length_ > 0; }
  // After head_complete: goes on with the body; one of more than `limit` bytes is refused with 413.
  void read_body(uint64_t limit);
  // Bytes of the body so far.
  size_t body_size() const { return request_.body.size(); }
  // After complete: the request. The parser is then ready for the next one.
  HttpRequest take();
  // After refused: status and sentence.
  const Refusal& refusal() const { return refusal_; }

 private:
  void add_head_byte(char c);
  size_t add_body(std::string_view bytes);
  void end_line();
  void read_request_line(std::string_view line);
  void end_head();
  void read_host();
  void read_framing();
  void read_length(std::string_view digits);
  void read_transfer_encoding(const std::string& codings);
  void read_connection();
  void refuse(int status, std::string_view sentence);

  ParserLimits limits_;
  State state_ = State::need_more;
  bool fresh_ = true;
  bool in_request_line_ = true, skipped_empty_line_ = false;
  LineReader line_;
  size_t header_bytes_ = 0;
  HttpRequest request_;
  bool chunked_ = false;
  uint64_t length_ = 0;  // of the body, by Content-Length
  std::optional<ChunkReader> chunks_;
  Refusal refusal_;
};

}  // namespace aviary::http
