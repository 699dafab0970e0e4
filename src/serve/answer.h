// Where a protocol writes its answer to one request.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace aviary {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// An answer in one piece, or a stream. May be used from any thread, by one at a time.
class Answer {
 public:
  virtual ~Answer() = default;
  // The whole answer.
  virtual void respond(int status, const HttpHeaders& headers, std::string body) = 0;
  // A stream: begin, any number of writes, end.
  virtual void begin(int status, const HttpHeaders& headers) = 0;
  virtual void write(std::string_view bytes) = 0;
  virtual void end() = 0;
  // Whether the client has left.
  virtual bool closed() const = 0;
  // Whether the client reads more slowly than the text is written.
  virtual bool lagging() const = 0;
};

}  // namespace aviary
