// Reads the answer to a request of our client.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/client.h"
#include "http/message.h"

namespace aviary::http {

class ReplyReader {
 public:
  // `has_body`: false for the answer to HEAD.
  explicit ReplyReader(bool has_body) : has_body_(has_body) {}

  // Both throw Error for what is not HTTP/1.1.
  void feed(std::string_view bytes);
  void end();  // the server has closed the connection

  bool has_head() const { return phase_ > Phase::fields; }
  bool complete() const { return phase_ == Phase::complete; }
  // Its body is what has arrived since it was last cleared.
  ClientReply& reply() { return reply_; }

 private:
  enum class Phase : uint8_t { status, fields, sized, chunked, to_end, complete };
  void add_head_byte(char c);
  void read_status(std::string_view line);
  void end_head();

  const bool has_body_;
  Phase phase_ = Phase::status;
  LineReader line_;
  size_t head_bytes_ = 0;
  uint64_t left_ = 0;  // bytes of a body with a Content-Length
  std::optional<ChunkReader> chunks_;
  ClientReply reply_;
};

}  // namespace aviary::http
