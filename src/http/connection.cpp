#include "http/connection.h"

#include <algorithm>
#include <utility>

#include "base/platform.h"
#include "http/server_core.h"

namespace aviary::http {
namespace {

constexpr size_t read_ahead = 16 << 10;  // bytes that may wait while a request runs
constexpr double body_bytes_per_second = 64 << 10;

size_t waiting_bytes(evbuffer* buffer) { return evbuffer_get_length(buffer); }

// Calls a function of the handler; what it throws is not the client's business.
template <typename Call>
std::optional<Refusal> refusal_of(Call call) {
  try {
    return call();
  } catch (const std::exception&) {
    return Refusal{.status = 500, .message = "the server failed at this request"};
  }
}

}  // namespace

Connection::Connection(ServerCore& core, int descriptor, std::string peer)
    : core_(core),
      peer_(std::move(peer)),
      buffers_(bufferevent_socket_new(core.base(), descriptor, BEV_OPT_CLOSE_ON_FREE)),
      parser_(core.options().limits.head),
      deadline_(core.base(), [this] { on_deadline(); }) {
  platform::send_at_once(descriptor);
  bufferevent_setcb(
      buffers_.get(), [](bufferevent*, void* self) { static_cast<Connection*>(self)->on_bytes(); },
      [](bufferevent*, void* self) { static_cast<Connection*>(self)->on_all_sent(); },
      [](bufferevent*, int16_t what, void* self) { static_cast<Connection*>(self)->on_event(what); }, this);
  evbuffer_add_cb(
      bufferevent_get_output(buffers_.get()),
      [](evbuffer*, const evbuffer_cb_info* info, void* self) {
        if (Channel* channel = static_cast<Connection*>(self)->channel_.get())
          channel->count_sent(info->n_deleted);
      },
      this);
  const timeval stall = as_timeval(core.options().limits.stall_seconds);
  bufferevent_set_timeouts(buffers_.get(), nullptr, &stall);
  bufferevent_setwatermark(buffers_.get(), EV_READ, 0, read_ahead);
  bufferevent_enable(buffers_.get(), EV_READ | EV_WRITE);
  enter(Phase::idle, core.options().limits.idle_seconds);
}

void Connection::close() {
  if (phase_ == Phase::closed) return;
  phase_ = Phase::closed;
  count_body(0);
  deadline_.stop();
  bufferevent_setcb(buffers_.get(), nullptr, nullptr, nullptr, nullptr);
  bufferevent_disable(buffers_.get(), EV_READ | EV_WRITE);
  if (const std::shared_ptr<Channel> channel = std::exchange(channel_, nullptr)) {
    channel->set_closed();
    channel->finish();
    core_.count_finished_request();
  }
  core_.remove(this);
}

void Connection::close_if_idle() {
  if (phase_ == Phase::idle) close();
}

void Connection::enter(Phase phase, double seconds) {
  phase_ = phase;
  deadline_.start(seconds);
}

void Connection::on_deadline() {
  switch (phase_) {
    case Phase::head:
      return refuse({.status = 408, .message = "the header of the request did not arrive in time"}, nullptr);
    case Phase::body:
      if (const double left = seconds_for_body(); left > 0) return deadline_.start(left);
      return refuse({.status = 408, .message = "the body of the request did not arrive in time"},
                    &parser_.head());
    default:
      return close();
  }
}

double Connection::seconds_for_body() const {
  const std::chrono::duration<double> elapsed = Clock::now() - body_began_;
  return core_.options().limits.body_seconds +
         static_cast<double>(parser_.body_size()) / body_bytes_per_second - elapsed.count();
}

bool Connection::count_body(uint64_t bytes) {
  return core_.resize_body(std::exchange(body_bytes_, bytes), bytes);
}

void Connection::on_bytes() {
  if (phase_ == Phase::lingering) {
    evbuffer* input = bufferevent_get_input(buffers_.get());
    evbuffer_drain(input, waiting_bytes(input));
  } else {
    read_requests();
  }
}

void Connection::read_requests() {
  evbuffer* input = bufferevent_get_input(buffers_.get());
  while (phase_ < Phase::running && waiting_bytes(input) > 0) {
    const size_t count = evbuffer_get_contiguous_space(input);
    const auto* bytes = reinterpret_cast<const char*>(evbuffer_pullup(input, static_cast<ev_ssize_t>(count)));
    evbuffer_drain(input, parser_.feed({bytes, count}));
    after_feed();
  }
  if (phase_ < Phase::running && peer_ended_) close();
}

void Connection::after_feed() {
  if (phase_ == Phase::idle && !parser_.is_fresh()) enter(Phase::head, core_.options().limits.header_seconds);
  if (parser_.state() == RequestParser::State::head_complete) accept_head();
  if (phase_ >= Phase::running) return;
  if (phase_ == Phase::body && !count_body(parser_.body_size()))
    return refuse({.status = 503,
                   .message = "the bodies of all requests together are too long; try again later",
                   .headers = {{"Retry-After", "1"}}},
                  &parser_.head());
  if (parser_.state() == RequestParser::State::refused)
    refuse(parser_.refusal(), phase_ == Phase::body ? &parser_.head() : nullptr);
  else if (parser_.state() == RequestParser::State::complete)
    start_request();
}

void Connection::accept_head() {
  const HttpRequest& head = parser_.head();
  uint64_t limit = core_.options().limits.body;
  const std::optional<Refusal> refusal = refusal_of([&]() -> std::optional<Refusal> {
    if (std::optional<Refusal> foreign = check_origin(head, core_.options().origins)) return foreign;
    if (head.method == "OPTIONS") return {};
    limit = core_.handler().body_limit(head, limit);
    return core_.handler().before_body(head);
  });
  if (refusal) return refuse(*refusal, &head);
  body_began_ = Clock::now();
  enter(Phase::body, core_.options().limits.body_seconds);
  parser_.read_body(limit);
  if (head.expects_continue && parser_.state() == RequestParser::State::need_more) {
    constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    bufferevent_write(buffers_.get(), go_on.data(), go_on.size());
  }
}

void Connection::start_request() {
  deadline_.stop();
  phase_ = Phase::running;
  answered_ = cut_ = false;
  HttpRequest request = parser_.take();
  AnswerForm form{.minor_version = request.minor_version,
                  .is_head = request.method == "HEAD",
                  .keep_alive = request.keep_alive && request.minor_version == 1 && !core_.stopping(),
                  .headers = cors_headers(request, core_.options().origins)};
  std::string body = std::exchange(request.body, {});
  HttpRequest head = request;
  request.body = std::move(body);
  channel_ = std::make_shared<Channel>(core_.outbox(), core_.handler(), std::move(head), std::move(form));
  channel_->connection = this;
  if (peer_ended_) channel_->set_closed();
  core_.count_request();
  auto exchange = std::make_shared<HeldExchange>(channel_);
  const std::optional<Refusal> failure = refusal_of([&]() -> std::optional<Refusal> {
    if (request.method == "OPTIONS")
      exchange->respond(204, options_headers(request, core_.options().origins), {});
    else
      core_.handler().handle(std::move(request), exchange);
    return {};
  });
  if (failure) channel_->fail(*failure);
  exchange.reset();
  deliver();
}

void Connection::deliver() {
  if (!channel_ || phase_ != Phase::running) return;
  const Channel::News news = channel_->take();
  if (!news.bytes.empty()) bufferevent_write(buffers_.get(), news.bytes.data(), news.bytes.size());
  answered_ = answered_ || news.complete;
  cut_ = cut_ || news.cut;
  if (answered_ && waiting_bytes(bufferevent_get_output(buffers_.get())) == 0) finish_request();
}

void Connection::on_all_sent() {
  if (phase_ == Phase::running && answered_)
    finish_request();
  else if (phase_ == Phase::lingering)
    linger();
}

void Connection::finish_request() {
  const std::shared_ptr<Channel> channel = std::exchange(channel_, nullptr);
  channel->finish();
  core_.count_finished_request();
  count_body(0);
  if (cut_) return close();
  if (!channel->keeps_alive() || core_.stopping()) {
    if (waiting_bytes(bufferevent_get_input(buffers_.get())) == 0) return close();
    phase_ = Phase::lingering;
    return linger();
  }
  enter(Phase::idle, core_.options().limits.idle_seconds);
  read_requests();
}

void Connection::refuse(const Refusal& refusal, const HttpRequest* head) {
  core_.count_refusal(refusal.status);
  Headers headers = refusal.headers;
  headers.emplace_back("Content-Type", "application/json");
  AnswerForm form{.is_head = head && head->method == "HEAD", .keep_alive = false};
  if (head && refusal.status != 403) form.headers = cors_headers(*head, core_.options().origins);
  std::string text;
  const std::optional<Refusal> failure = refusal_of([&]() -> std::optional<Refusal> {
    text = answer(refusal.status, headers, core_.handler().refusal_body(head, refusal), form);
    return {};
  });
  if (failure) text = answer(failure->status, {}, failure->message, form);
  bufferevent_write(buffers_.get(), text.data(), text.size());
  phase_ = Phase::lingering;
  deadline_.stop();  // until everything is sent, the write stall is the limit
  count_body(0);
  parser_ = RequestParser(core_.options().limits.head);  // and with it the body; nothing of it is used below
}

// A socket that is closed while bytes of the client are on their way may lose the answer: first only the
// writing ends, and what still arrives is read for a moment.
void Connection::linger() {
  if (ended_) return;
  ended_ = true;
  if (peer_ended_) return close();
  platform::end_writing(bufferevent_getfd(buffers_.get()));
  deadline_.start(core_.options().limits.linger_seconds);
  on_bytes();
}

void Connection::on_event(int16_t what) {
  const bool ended = (what & BEV_EVENT_EOF) && (what & BEV_EVENT_READING);
  if (!ended) return close();  // an error, or a client that takes nothing
  peer_ended_ = true;
  if (phase_ == Phase::running)
    channel_->set_closed();
  else if (phase_ != Phase::lingering || ended_)
    close();
}

}  // namespace aviary::http
