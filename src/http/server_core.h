// The event loop of a server: its connections, its limits, its end.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "http/channel.h"
#include "http/connection.h"
#include "http/events.h"
#include "http/server.h"

namespace aviary::http {

class ServerCore {
 public:
  ServerCore(ServerOptions options, Handler& handler);
  ~ServerCore();

  const std::string& host() const { return host_; }
  int port() const { return port_; }
  void run();
  void stop(double grace_seconds);
  ServerStatistics statistics() const;

  // For connections, on the network thread.
  const ServerOptions& options() const { return options_; }
  Handler& handler() { return handler_; }
  event_base* base() { return base_.get(); }
  const std::shared_ptr<Outbox>& outbox() const { return outbox_; }
  bool stopping() const { return stopping_; }
  void remove(Connection* connection);
  // A body that had `before` bytes has `now`. Whether there is room for it, beside all others.
  bool resize_body(uint64_t before, uint64_t now);
  void count_request();
  void count_finished_request() { --running_; }
  void count_refusal(int status);

 private:
  void listen();
  void accept(int descriptor);
  void on_accept_error();
  void on_wake();
  void begin_stop(double grace_seconds);
  void close_all();

  ServerOptions options_;
  Handler& handler_;
  EventBase base_;
  Event wake_, accept_again_, grace_is_over_;
  std::shared_ptr<Outbox> outbox_;
  Listener listener_;
  std::string host_;
  int port_ = 0;
  bool stopping_ = false;
  uint64_t body_bytes_ = 0;  // of all requests that are read or answered
  std::unordered_map<Connection*, std::unique_ptr<Connection>> connections_;
  std::unordered_map<std::string, int> per_address_;  // connections of addresses of other machines
  std::vector<std::unique_ptr<Connection>> removed_;  // deleted when none of their functions runs

  std::atomic<int64_t> open_ = 0, accepted_ = 0, requests_ = 0, running_ = 0;
  mutable std::mutex mutex_;
  std::map<int, int64_t> refused_;
  std::optional<double> wanted_stop_;  // grace in seconds
};

}  // namespace aviary::http
