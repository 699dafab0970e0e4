// Owners of what libevent makes.
#pragma once

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include <cmath>
#include <functional>
#include <memory>
#include <utility>

namespace aviary::http {

struct FreeEvents {
  void operator()(event_base* base) const { event_base_free(base); }
  void operator()(event* event) const { event_free(event); }
  void operator()(bufferevent* buffers) const { bufferevent_free(buffers); }
  void operator()(evconnlistener* listener) const { evconnlistener_free(listener); }
};

using EventBase = std::unique_ptr<event_base, FreeEvents>;
using Buffers = std::unique_ptr<bufferevent, FreeEvents>;
using Listener = std::unique_ptr<evconnlistener, FreeEvents>;

inline timeval as_timeval(double seconds) {
  const double whole = std::floor(seconds);
  return {.tv_sec = static_cast<time_t>(whole), .tv_usec = static_cast<suseconds_t>((seconds - whole) * 1e6)};
}

// Calls a function on the network thread: after a time, or when another thread asks for it.
class Event {
 public:
  Event(event_base* base, std::function<void()> call)
      : call_(std::move(call)), event_(event_new(base, -1, 0, &Event::run, this)) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void start(double seconds) {
    const timeval time = as_timeval(seconds);
    event_add(event_.get(), &time);
  }
  void stop() { event_del(event_.get()); }
  void activate() { event_active(event_.get(), EV_TIMEOUT, 0); }  // from any thread

 private:
  static void run(evutil_socket_t, int16_t, void* self) { static_cast<Event*>(self)->call_(); }

  std::function<void()> call_;
  std::unique_ptr<event, FreeEvents> event_;
};

}  // namespace aviary::http
