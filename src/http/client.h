// A small HTTP/1.1 client that waits for its answers (aviary chat --url). http only: TLS is left to a proxy.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace aviary::http {

struct ClientOptions {
  double connect_seconds = 10;
  double silence_seconds = 300;     // for which a server may send nothing while an answer is expected
  uint64_t body_limit = 256 << 20;  // bytes of an answer that is not streamed
  // Is asked about ten times a second while the client waits for bytes (Ctrl-C); true ends the request.
  std::function<bool()> cancelled = {};
};

struct ClientReply {
  int status = 0;
  Headers headers = {};   // names in lower case
  std::string body = {};  // empty if it was streamed
  bool complete = false;  // false if a callback ended the request

  // The value of the first field with this name, which is in lower case; nullptr if there is none.
  const std::string* header(std::string_view lower_name) const;
};

// Speaks to one server; every request has its own connection. All functions throw Error with one sentence if
// the server cannot be reached, is silent for too long, does not speak HTTP/1.1, or ends in the middle of an
// answer. A status of 400 or more is no Error.
class HttpClient {
 public:
  // "http://host[:port][/prefix]"; throws Error for anything else, also for https.
  explicit HttpClient(std::string_view url, ClientOptions options = {});

  // Is called with every piece of a body as it arrives; false ends the request.
  using OnBytes = std::function<bool(std::string_view bytes)>;

  // `path` begins with a slash and follows the prefix of the URL.
  ClientReply get(std::string_view path, const Headers& headers = {}) const;
  ClientReply post(std::string_view path, const Headers& headers, std::string_view body) const;
  // The same for any method. The body of an answer with a status below 400 is given to `on_bytes`, others are
  // collected.
  ClientReply stream(std::string_view method, std::string_view path, const Headers& headers,
                     std::string_view body, const OnBytes& on_bytes) const;

  const std::string& host() const { return host_; }  // as in the URL, in lower case
  int port() const { return port_; }

 private:
  std::string request_text(std::string_view method, std::string_view path, const Headers& headers,
                           std::string_view body) const;

  ClientOptions options_;
  std::string host_, prefix_;
  int port_ = 80;
};

}  // namespace aviary::http
