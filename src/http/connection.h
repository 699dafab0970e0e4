// One connection of the server, on the network thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "http/channel.h"
#include "http/events.h"
#include "http/parser.h"

namespace aviary::http {

class ServerCore;

class Connection {
 public:
  // Takes the descriptor. `peer` is the address of the client.
  Connection(ServerCore& core, int descriptor, std::string peer);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  const std::string& peer() const { return peer_; }
  // Answers with an error, then closes. `head` is the request, as far as it was read, or null.
  void refuse(const Refusal& refusal, const HttpRequest* head);
  // Sends what other threads have written.
  void deliver();
  // The server stops: closes the connection unless it is in use.
  void close_if_idle();
  // Removes this connection from the server, which deletes it later.
  void close();

 private:
  enum class Phase : uint8_t {
    idle,       // waits for a request
    head,       // reads a request up to the end of its header
    body,       // reads the body
    running,    // the handler answers
    lingering,  // the last answer is being sent, then waits for the client to close; what arrives is
                // discarded
    closed
  };
  using Clock = std::chrono::steady_clock;

  void on_bytes();
  void on_all_sent();
  void on_event(int16_t what);
  void on_deadline();
  void read_requests();
  void after_feed();
  void accept_head();
  void start_request();
  void finish_request();
  void linger();
  void enter(Phase phase, double seconds);
  double seconds_for_body() const;
  // Counts the body among those of all connections; false if they are too much together.
  bool count_body(uint64_t bytes);

  ServerCore& core_;
  const std::string peer_;
  Buffers buffers_;
  RequestParser parser_;
  Phase phase_ = Phase::idle;
  Event deadline_;
  Clock::time_point body_began_;
  uint64_t body_bytes_ = 0;              // counted, from the first byte until the request is answered
  std::shared_ptr<Channel> channel_;     // while running
  bool answered_ = false, cut_ = false;  // of the running request: everything is in the buffer
  bool peer_ended_ = false;              // the client sends nothing more
  bool ended_ = false;                   // nothing more is sent to the client
};

}  // namespace aviary::http
