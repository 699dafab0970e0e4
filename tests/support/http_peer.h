// The other side of an HTTP server in tests: a client that sends any bytes, and a server that runs in a
// thread.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>

#include "base/platform.h"
#include "http/server.h"

namespace aviary {

// A connection to a server on this machine. Nothing waits for longer than a minute.
class HttpPeer {
 public:
  explicit HttpPeer(int port, const std::string& host = "127.0.0.1") {
    socket_ = platform::Socket::connect(host, port, 60, error_);
    EXPECT_FALSE(error_) << error_.message();
  }

  // False if the server has closed the connection.
  bool send(std::string_view bytes) {
    socket_.write(std::as_bytes(std::span(bytes)), 60, error_);
    return !error_;
  }
  void end() { socket_.end_writing(); }

  // Everything up to and including `mark`, or up to the end.
  std::string read_until(std::string_view mark) {
    while (true) {
      if (const size_t at = unread_.find(mark); at != std::string::npos && !mark.empty()) {
        std::string text = unread_.substr(0, at + mark.size());
        unread_.erase(0, text.size());
        return text;
      }
      if (!read_more()) return std::exchange(unread_, {});
    }
  }
  std::string read_to_end() { return read_until(""); }
  // The head of an answer and its body, which has a Content-Length.
  std::string read_answer() {
    std::string text = read_until("\r\n\r\n");
    const size_t at = text.find("Content-Length: ");
    if (at == std::string::npos) return text;
    const size_t length = std::stoul(text.substr(at + 16));
    while (unread_.size() < length && read_more()) {
    }
    text += unread_.substr(0, length);
    unread_.erase(0, length);
    return text;
  }

 private:
  bool read_more() {
    std::byte bytes[4096];
    if (!socket_.wait_for_bytes(60, error_)) {
      ADD_FAILURE() << "the server was silent for a minute";
      return false;
    }
    const size_t count = socket_.read(bytes, error_);
    unread_.append(reinterpret_cast<const char*>(bytes), count);
    return count > 0;
  }

  platform::Socket socket_;
  std::error_code error_;
  std::string unread_;
};

// A server on a free port that runs until the end of the scope.
class RunningServer {
 public:
  explicit RunningServer(http::Handler& handler, http::ServerOptions options = {})
      : server((options.port = 0, std::move(options)), handler), thread_([this] { server.run(); }) {}
  ~RunningServer() {
    server.stop(0);
    join();
  }
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  int port() const { return server.port(); }

  http::HttpServer server;

 private:
  std::thread thread_;
};

// Waits until `condition` holds, for a minute at most.
template <typename Condition>
bool wait_until(Condition condition) {
  for (int i = 0; i < 30'000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

}  // namespace aviary
