// A stream of server-sent events (text/event-stream): every event is one write of the answer.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "serve/answer.h"

namespace aviary {

// Something that must tell its client that it is still alive when it was silent for long.
class Ticking {
 public:
  virtual ~Ticking() = default;
  // Called every few seconds, on any thread; after three calls without a word it says something.
  virtual void tick() = 0;
};

// Thread-safe: an event is written by one thread while tick() is called by another. Nothing is written before
// begin() and after end().
class EventStream : public Ticking {
 public:
  // `ping` is written when the stream was silent for long; empty: nothing is.
  explicit EventStream(std::shared_ptr<Answer> answer, std::string ping = ": ping\n\n");

  // Status 200 and the fields of an event stream, and `more` of them.
  void begin(const HttpHeaders& more = {});
  bool begun() const;
  // Lets tick() begin the stream when nothing else did for long, so that a client whose request waits hears
  // something.
  void begin_when_waiting(HttpHeaders more);
  // Ends a stream that has not begun, so that the answer can be another one. Returns false if it has begun.
  bool give_up();
  // "data: DATA", an empty line; DATA is one line.
  void data(std::string_view data);
  // "event: NAME", "data: DATA", an empty line.
  void event(std::string_view name, std::string_view data);
  void end();
  void tick() override;

 private:
  void write(const std::string& bytes);
  void begin_locked(const HttpHeaders& more);

  mutable std::mutex mutex_;
  std::shared_ptr<Answer> answer_;
  std::string ping_;
  std::optional<HttpHeaders> waiting_ = {};  // with which tick() may begin
  bool begun_ = false, ended_ = false;
  int silent_ticks_ = 0;
};

}  // namespace aviary
