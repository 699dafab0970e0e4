#include "http/channel.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <chrono>

#include "base/error.h"
#include "base/quotes.h"
#include "http/events.h"

namespace aviary::http {
namespace {

// The time as RFC 9110, 5.6.7 wants it: "Sun, 29 Nov 2026 22:49:17 GMT".
std::string date() {
  static constexpr const char* days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const auto today = std::chrono::floor<std::chrono::days>(now);
  const std::chrono::year_month_day day(today);
  const std::chrono::hh_mm_ss time(now - today);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", days[std::chrono::weekday(today).c_encoding()],
                     static_cast<unsigned>(day.day()), months[static_cast<unsigned>(day.month()) - 1],
                     static_cast<int>(day.year()), time.hours().count(), time.minutes().count(),
                     time.seconds().count());
}

bool has_no_body(int status) { return status == 204 || status == 304; }

}  // namespace

void Outbox::add(std::shared_ptr<Channel> channel) {
  const std::lock_guard lock(mutex_);
  if (!wake_) return;
  if (waiting_.empty()) wake_->activate();
  waiting_.push_back(std::move(channel));
}

std::vector<std::shared_ptr<Channel>> Outbox::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(waiting_, {});
}

void Outbox::wake() {
  const std::lock_guard lock(mutex_);
  if (wake_) wake_->activate();
}

void Outbox::close() {
  std::vector<std::shared_ptr<Channel>> forgotten;  // destroyed without the lock; they own this outbox
  const std::lock_guard lock(mutex_);
  wake_ = nullptr;
  forgotten.swap(waiting_);
}

std::string answer_head(int status, const Headers& headers, std::string_view framing,
                        const AnswerForm& form) {
  std::string text = fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n{}X-Content-Type-Options: nosniff\r\n",
                                 status, status_phrase(status), date(), framing);
  if (!form.keep_alive) text += "Connection: close\r\n";
  for (const Headers* list : {&headers, &form.headers})
    for (const auto& [name, value] : *list) {
      require(is_token(name) && std::all_of(value.begin(), value.end(), is_field_byte),
              "the field {} of an answer is not well-formed: its value is {}", in_quotes(name),
              in_quotes(value));
      text += fmt::format("{}: {}\r\n", name, value);
    }
  return text + "\r\n";
}

std::string answer(int status, const Headers& headers, std::string_view body, const AnswerForm& form) {
  if (has_no_body(status)) return answer_head(status, headers, "", form);
  std::string text = answer_head(status, headers, fmt::format("Content-Length: {}\r\n", body.size()), form);
  if (!form.is_head) text += body;
  return text;
}

Channel::Channel(std::shared_ptr<Outbox> outbox, Handler& handler, HttpRequest head, AnswerForm form)
    : outbox_(std::move(outbox)), handler_(handler), head_(std::move(head)), form_(std::move(form)) {}

void Channel::add(std::string_view bytes, bool complete) {
  ended_ = ended_ || complete;
  news_.complete = news_.complete || complete;
  if (!over_) {
    news_.bytes += bytes;
    queued_ += bytes.size();
    was_full_ = was_full_ || queued_ >= Exchange::pause_at;
  }
  if (listed_ || (bytes.empty() && !complete)) return;
  listed_ = true;
  outbox_->add(shared_from_this());
}

void Channel::respond(int status, const Headers& headers, std::string_view body) {
  const std::string text = answer(status, headers, body, form_);
  const std::lock_guard lock(mutex_);
  assert(!begun_ && !ended_ && "an exchange has one answer");
  if (begun_ || ended_) return;
  add(text, true);
}

void Channel::refuse(const Refusal& refusal) {
  if (is_over()) return respond(refusal.status, {}, "");
  Headers headers = refusal.headers;
  headers.emplace_back("Content-Type", "application/json");
  respond(refusal.status, headers, handler_.refusal_body(&head_, refusal));
}

void Channel::begin(int status, const Headers& headers) {
  const bool chunked = form_.minor_version == 1;
  const std::string text =
      answer_head(status, headers, chunked ? "Transfer-Encoding: chunked\r\n" : "", form_);
  const std::lock_guard lock(mutex_);
  assert(!begun_ && !ended_ && "an exchange has one answer");
  if (begun_ || ended_) return;
  begun_ = true;
  add(text, form_.is_head);
}

void Channel::write(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  assert(begun_ && "begin() comes before write()");
  if (!begun_ || ended_ || bytes.empty()) return;
  if (form_.minor_version == 0) return add(bytes, false);
  std::string chunk = fmt::format("{:x}\r\n", bytes.size());
  chunk.append(bytes).append("\r\n");
  add(chunk, false);
}

void Channel::end() {
  const std::lock_guard lock(mutex_);
  assert(begun_ && "begin() comes before end()");
  if (!begun_ || ended_) return;
  add(form_.minor_version == 1 ? "0\r\n\r\n" : "", true);
}

HeldExchange::~HeldExchange() {
  channel_->fail({.status = 500, .message = "the server gave no answer to this request"});
}

void Channel::fail(const Refusal& failure) {
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    if (begun_ || closed_) {
      news_.cut = true;
      return add("", true);
    }
  }
  try {
    refuse(failure);
  } catch (...) {  // of the handler: a destructor waits for this
    const std::lock_guard lock(mutex_);
    news_.cut = true;
    add("", true);
  }
}

bool Channel::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

bool Channel::is_over() const {
  const std::lock_guard lock(mutex_);
  return over_;
}

void Channel::on_close(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      on_close_ = std::move(callback);
      return;
    }
  }
  callback();
}

size_t Channel::queued_bytes() const {
  const std::lock_guard lock(mutex_);
  return queued_;
}

void Channel::on_drain(std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  on_drain_ = std::move(callback);
}

Channel::News Channel::take() {
  const std::lock_guard lock(mutex_);
  listed_ = false;
  News news = std::move(news_);
  news_ = {.complete = news.complete, .cut = news.cut};
  return news;
}

void Channel::set_closed() {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
    callback = std::exchange(on_close_, nullptr);
  }
  if (callback) callback();
}

void Channel::finish() {
  connection = nullptr;
  std::function<void()> forgotten[2];  // destroyed without the lock: they may own this exchange
  const std::lock_guard lock(mutex_);
  over_ = true;
  forgotten[0] = std::exchange(on_close_, nullptr);
  forgotten[1] = std::exchange(on_drain_, nullptr);
}

void Channel::count_sent(size_t bytes) {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    queued_ -= std::min(queued_, bytes);
    if (was_full_ && queued_ < Exchange::pause_at / 2) {
      was_full_ = false;
      callback = on_drain_;
    }
  }
  if (callback) callback();
}

}  // namespace aviary::http
