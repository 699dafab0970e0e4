#include "serve/sse.h"

#include <fmt/format.h>

#include <utility>

namespace aviary {

EventStream::EventStream(std::shared_ptr<Answer> answer, std::string ping)
    : answer_(std::move(answer)), ping_(std::move(ping)) {}

void EventStream::begin(const HttpHeaders& more) {
  const std::lock_guard lock(mutex_);
  begin_locked(more);
}

void EventStream::begin_locked(const HttpHeaders& more) {
  if (begun_ || ended_) return;
  begun_ = true;
  HttpHeaders headers = {{"Content-Type", "text/event-stream; charset=utf-8"},
                         {"Cache-Control", "no-store"},
                         {"X-Accel-Buffering", "no"}};
  headers.insert(headers.end(), more.begin(), more.end());
  answer_->begin(200, headers);
}

bool EventStream::begun() const {
  const std::lock_guard lock(mutex_);
  return begun_;
}

void EventStream::begin_when_waiting(HttpHeaders more) {
  const std::lock_guard lock(mutex_);
  waiting_ = std::move(more);
}

bool EventStream::give_up() {
  const std::lock_guard lock(mutex_);
  if (!begun_) ended_ = true;
  return !begun_;
}

void EventStream::write(const std::string& bytes) {
  const std::lock_guard lock(mutex_);
  if (!begun_ || ended_) return;
  silent_ticks_ = 0;
  answer_->write(bytes);
}

void EventStream::data(std::string_view data) { write(fmt::format("data: {}\n\n", data)); }

void EventStream::event(std::string_view name, std::string_view data) {
  write(fmt::format("event: {}\ndata: {}\n\n", name, data));
}

void EventStream::end() {
  const std::lock_guard lock(mutex_);
  if (!begun_ || ended_) return;
  ended_ = true;
  answer_->end();
}

void EventStream::tick() {
  const std::lock_guard lock(mutex_);
  if (ended_ || (!begun_ && !waiting_) || ++silent_ticks_ < 3) return;
  silent_ticks_ = 0;
  if (!begun_) begin_locked(*waiting_);
  if (!ping_.empty()) answer_->write(ping_);
}

}  // namespace aviary
