// An HTTP/1.1 server with one network thread. Answers may be given from any thread: at once, or piece by
// piece while they are being made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/origin.h"
#include "http/parser.h"

namespace aviary::http {

// The answer to one request. All functions may be called from any thread; none waits for the network. After
// the client has left, what is written is discarded. An exchange that is destroyed without an answer is
// answered with 500; one that is destroyed in the middle of a stream cuts the connection, so that the client
// sees that the end is missing. Fields of headers that are not well-formed are an Error.
//
// The server adds Date, Content-Length or Transfer-Encoding, Connection, X-Content-Type-Options and what a
// page of another origin needs. The body of an answer to HEAD is not sent.
class Exchange {
 public:
  // A writer of a stream pauses while so many bytes wait for a slow client.
  static constexpr size_t pause_at = 256 << 10;

  virtual ~Exchange() = default;

  // The whole answer. Must be the only one, and not follow begin().
  virtual void respond(int status, Headers headers, std::string body) = 0;
  // The same for a refusal, in the form of Handler::refusal_body().
  virtual void refuse(const Refusal& refusal) = 0;
  // A stream: begin() once, write() as often as needed (every call is sent as soon as possible), end() once.
  virtual void begin(int status, Headers headers) = 0;
  virtual void write(std::string_view bytes) = 0;
  virtual void end() = 0;

  // Whether the client has left (or has closed its side of the connection, which looks the same), or the
  // server is being stopped at once.
  virtual bool closed() const = 0;
  // Calls `callback` once, on the network thread, when closed() becomes true; at once if it is.
  virtual void on_close(std::function<void()> callback) = 0;
  // Bytes that were written and not yet taken by the operating system.
  virtual size_t queued_bytes() const = 0;
  // Calls `callback` on the network thread each time the queue has shrunk from pause_at or more to less than
  // half of it.
  virtual void on_drain(std::function<void()> callback) = 0;
};

// What the server does with requests. All functions are called on the network thread and must not wait.
struct Handler {
  virtual ~Handler() = default;
  // The largest body of this request; more is refused with 413. `usual` is ServerLimits::body.
  virtual uint64_t body_limit(const HttpRequest& head, uint64_t usual) {
    static_cast<void>(head);
    return usual;
  }
  // Called before the body is read, e.g. to check a key. A refusal is sent and the connection closed.
  virtual std::optional<Refusal> before_body(const HttpRequest& head) {
    static_cast<void>(head);
    return {};
  }
  // Answers the request, here or later from any thread.
  virtual void handle(HttpRequest request, std::shared_ptr<Exchange> exchange) = 0;
  // The JSON of a refusal; `head` is null if the request could not be read so far. Called on the network
  // thread, or on the one that calls Exchange::refuse().
  virtual std::string refusal_body(const HttpRequest* head, const Refusal& refusal) {
    static_cast<void>(head);
    return error_json(refusal);
  }
};

struct ServerLimits {
  int connections = 1024;
  int connections_per_address = 64;  // of addresses other than those of this machine
  ParserLimits head = {};
  uint64_t body = 16 << 20;     // bytes
  uint64_t bodies = 256 << 20;  // of all requests together until they are answered; one alone is always taken
  // All in seconds. The deadlines of header and body do not start anew with every byte.
  double header_seconds = 10;
  double body_seconds = 30;   // and a second more for every 64 KiB that have arrived
  double idle_seconds = 60;   // between two requests of a connection
  double stall_seconds = 60;  // for which a client may take nothing of what is sent to it
  double linger_seconds =
      2;  // for which the rest of a refused request is still read, so that the answer arrives
};

struct ServerOptions {
  std::string host = "127.0.0.1";  // an address or a name of this machine
  int port = 8080;                 // 0: any free one
  OriginRules origins = {};        // `host` needs not be among its hosts
  ServerLimits limits = {};
};

struct ServerStatistics {
  int64_t open_connections = 0;
  int64_t connections = 0;              // accepted so far
  int64_t requests = 0;                 // given to the handler so far
  int64_t running_requests = 0;         // not answered completely yet
  std::map<int, int64_t> refused = {};  // how often the server itself refused with this status
};

class HttpServer {
 public:
  // Listens from now on. The handler must outlive the server. Throws Error if the address cannot be used.
  HttpServer(ServerOptions options, Handler& handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Where it listens: the address as "127.0.0.1" or "::1", and the port.
  const std::string& host() const;
  int port() const;
  // "http://127.0.0.1:8080"
  std::string address() const;

  // Serves on this thread, which becomes the network thread, until stop().
  void run();
  // From any thread, before or during run(): no more requests are accepted; those that run may finish within
  // `grace_seconds`, then their connections are closed and run() returns. A second call can only shorten the
  // time.
  void stop(double grace_seconds);

  // From any thread.
  ServerStatistics statistics() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace aviary::http
