#include "http/server_core.h"

#include <event2/thread.h>

#include <algorithm>

#include "base/error.h"
#include "base/platform.h"
#include "base/quotes.h"

namespace aviary::http {
namespace {

// Connections beyond the limit that are told so; further ones are closed at once.
constexpr size_t spare_connections = 64;
// Files, pipes and the like besides the connections.
constexpr int other_files = 256;

EventBase make_base() {
  static const int threads = evthread_use_pthreads();  // before the first event base
  const std::unique_ptr<event_config, decltype(&event_config_free)> config(event_config_new(),
                                                                           event_config_free);
  event_config_set_flag(config.get(), EVENT_BASE_FLAG_IGNORE_ENV);
  EventBase base(threads == 0 ? event_base_new_with_config(config.get()) : nullptr);
  require(base != nullptr, "the network cannot be used: libevent found no way to wait for events");
  return base;
}

bool is_this_machine(const std::string& address) { return address.starts_with("127.") || address == "::1"; }

}  // namespace

ServerCore::ServerCore(ServerOptions options, Handler& handler)
    : options_(std::move(options)),
      handler_(handler),
      base_(make_base()),
      wake_(base_.get(), [this] { on_wake(); }),
      accept_again_(base_.get(),
                    [this] {
                      if (listener_) evconnlistener_enable(listener_.get());
                    }),
      grace_is_over_(base_.get(), [this] { close_all(); }),
      outbox_(std::make_shared<Outbox>(&wake_)) {
  options_.origins.hosts.push_back(options_.host);
  platform::ignore_broken_pipes();
  platform::allow_open_files(options_.limits.connections + static_cast<int64_t>(spare_connections) +
                             other_files);
  listen();
}

ServerCore::~ServerCore() {
  close_all();
  outbox_->close();
}

void ServerCore::listen() {
  std::error_code error;
  platform::Socket socket = platform::Socket::listen(options_.host, options_.port, error);
  require(!error && socket.is_open(), "cannot listen on {}, port {}: {}", in_quotes(options_.host),
          options_.port, error.message());
  const platform::SocketAddress address = socket.local_address();
  host_ = address.host;
  port_ = address.port;
  listener_.reset(evconnlistener_new(
      base_.get(),
      [](evconnlistener*, evutil_socket_t descriptor, sockaddr*, int, void* self) {
        static_cast<ServerCore*>(self)->accept(descriptor);
      },
      this, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, -1, socket.release()));
  require(listener_ != nullptr, "cannot listen on {}, port {}", in_quotes(options_.host), options_.port);
  evconnlistener_set_error_cb(listener_.get(), [](evconnlistener*, void* self) {
    static_cast<ServerCore*>(self)->on_accept_error();
  });
}

// Mostly because there are too many open files: those who wait would wake the loop again and again.
void ServerCore::on_accept_error() {
  evconnlistener_disable(listener_.get());
  accept_again_.start(0.1);
}

void ServerCore::accept(int descriptor) {
  if (connections_.size() >= static_cast<size_t>(options_.limits.connections) + spare_connections) {
    evutil_closesocket(descriptor);
    return;
  }
  const std::string peer = platform::peer_address(descriptor).host;
  const bool is_full = connections_.size() >= static_cast<size_t>(options_.limits.connections);
  const int from_there = is_this_machine(peer) ? 0 : per_address_[peer]++;
  auto owner = std::make_unique<Connection>(*this, descriptor, peer);
  Connection* connection = owner.get();
  connections_.emplace(connection, std::move(owner));
  ++accepted_;
  ++open_;
  if (is_full || from_there >= options_.limits.connections_per_address)
    connection->refuse({.status = 503,
                        .message = is_full ? "the server has too many connections; try again later"
                                           : "there are too many connections from your address",
                        .headers = {{"Retry-After", "1"}}},
                       nullptr);
}

void ServerCore::remove(Connection* connection) {
  const auto found = connections_.find(connection);
  if (found == connections_.end()) return;
  if (const auto count = per_address_.find(connection->peer());
      count != per_address_.end() && --count->second == 0)
    per_address_.erase(count);
  removed_.push_back(std::move(found->second));
  connections_.erase(found);
  --open_;
  wake_.activate();
}

void ServerCore::run() {
  event_base_loop(base_.get(), EVLOOP_NO_EXIT_ON_EMPTY);
  removed_.clear();
  event_base_loop(base_.get(), EVLOOP_NONBLOCK);  // closes their sockets
}

void ServerCore::stop(double grace_seconds) {
  {
    const std::lock_guard lock(mutex_);
    wanted_stop_ = std::min(wanted_stop_.value_or(grace_seconds), grace_seconds);
  }
  wake_.activate();
}

void ServerCore::on_wake() {
  removed_.clear();
  for (const std::shared_ptr<Channel>& channel : outbox_->take())
    if (channel->connection) channel->connection->deliver();
  std::optional<double> stop;
  {
    const std::lock_guard lock(mutex_);
    stop = std::exchange(wanted_stop_, std::nullopt);
  }
  if (stop) begin_stop(*stop);
  if (stopping_ && connections_.empty()) event_base_loopbreak(base_.get());
}

void ServerCore::begin_stop(double grace_seconds) {
  stopping_ = true;
  listener_.reset();
  if (grace_seconds <= 0) return close_all();
  grace_is_over_.start(grace_seconds);
  std::vector<Connection*> all;
  for (const auto& [connection, owner] : connections_) all.push_back(connection);
  for (Connection* connection : all) connection->close_if_idle();
}

void ServerCore::close_all() {
  while (!connections_.empty()) connections_.begin()->first->close();
}

bool ServerCore::resize_body(uint64_t before, uint64_t now) {
  body_bytes_ = body_bytes_ - before + now;
  return body_bytes_ <= options_.limits.bodies || body_bytes_ == now;
}

void ServerCore::count_request() {
  ++requests_;
  ++running_;
}

void ServerCore::count_refusal(int status) {
  const std::lock_guard lock(mutex_);
  ++refused_[status];
}

ServerStatistics ServerCore::statistics() const {
  const std::lock_guard lock(mutex_);
  return {.open_connections = open_,
          .connections = accepted_,
          .requests = requests_,
          .running_requests = running_,
          .refused = refused_};
}

}  // namespace aviary::http
