// What requests and answers of HTTP/1.1 have in common (RFC 9110, RFC 9112): fields, refusals, and the
// reading of lines and of chunked bodies. Everything here is pure: no sockets, no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace aviary::http {

// Names and values of header fields, in their order.
using Headers = std::vector<std::pair<std::string, std::string>>;

// Why a request is not answered as it asked. An empty `type` means the usual one of the status; an empty
// `code` is null in JSON.
struct Refusal {
  int status = 400;
  std::string message = {};  // one sentence for the user
  std::string type = {};     // e.g. invalid_request_error
  std::string code = {};     // e.g. model_not_found
  Headers headers = {};      // added to the answer, e.g. Retry-After
};

// "Not Found" for 404; "Status" for a number without a name here.
std::string_view status_phrase(int status);
// The type of an error with this status in the protocols of OpenAI, e.g. invalid_request_error for 400.
std::string_view error_type(int status);
// {"error":{"message":...,"type":...,"code":...}}, the shape of OpenAI's errors.
std::string error_json(const Refusal& refusal);

// The fields of an answer that is a stream of server-sent events.
Headers event_stream_headers();
// The fields of every page and script: nothing is loaded from elsewhere and no other page may embed it.
Headers page_headers();

// Whether `c` may be part of a token, e.g. of a method or of the name of a field (RFC 9110, 5.6.2).
bool is_token_byte(char c);
bool is_token(std::string_view text);
// Whether `c` may be part of the value of a field: everything but control bytes, of which a tab is allowed.
bool is_field_byte(char c);
// ASCII letters in lower case, independent of the locale.
std::string lower_case(std::string_view text);
// Without spaces and tabs at both ends.
std::string_view trimmed(std::string_view text);
// Whether a comma-separated list contains `word`, which is in lower case; letters compare without case.
bool list_contains(std::string_view list, std::string_view word);
// The value of a hexadecimal digit, -1 for another character.
int hex_digit(char c);

// host[:port] as in a Host field. Nothing for a text that is no such thing.
struct Authority {
  std::string host = {};  // lower case, IPv6 in brackets
  int port = -1;          // -1: none is given
};
std::optional<Authority> parse_authority(std::string_view text);

// Collects the bytes of a line up to CRLF.
class LineReader {
 public:
  enum class Result : uint8_t { more, complete, bad };
  // Bad: a control byte other than a tab, a CR without LF, or an LF without CR.
  Result add(char c);
  const std::string& line() const { return line_; }  // without CRLF
  void clear() { line_.clear(); }

 private:
  std::string line_;
  bool after_cr_ = false;
};

// Reads a field line into `headers`; its name is stored in lower case. Returns what is wrong with the line,
// or nullptr.
const char* add_field(std::string_view line, Headers& headers);

// Reads a body in chunks (RFC 9112, 7.1). Extensions are checked and skipped, trailers checked and discarded.
class ChunkReader {
 public:
  // Appends at most `limit` bytes to the body in all.
  explicit ChunkReader(uint64_t limit) : limit_(limit) {}

  // Appends what these bytes contain of the body to `body`; returns how many bytes were used: fewer than
  // there are only if the body is complete or bad.
  size_t feed(std::string_view bytes, std::string& body);
  bool complete() const { return phase_ == Phase::complete; }
  bool bad() const { return status_ != 0; }
  int status() const { return status_; }  // 400, 413 or 431; 0 unless bad
  const std::string& sentence() const { return sentence_; }

 private:
  enum class Phase : uint8_t { size, data, end_of_data, trailers, complete };
  void add_line_byte(char c);
  void end_line();
  void begin_chunk();
  void refuse(int status, std::string sentence);

  Phase phase_ = Phase::size;
  LineReader line_;
  uint64_t limit_;
  uint64_t total_ = 0;  // of the body, with the present chunk
  uint64_t left_ = 0;   // of the present chunk
  size_t trailer_bytes_ = 0;
  int status_ = 0;
  std::string sentence_;
};

}  // namespace aviary::http
