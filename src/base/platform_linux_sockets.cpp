#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "base/platform.h"

namespace aviary::platform {
namespace {

// What getaddrinfo says when a name has no address.
class NameErrors : public std::error_category {
 public:
  const char* name() const noexcept override { return "getaddrinfo"; }
  std::string message(int code) const override { return ::gai_strerror(code); }
};

std::error_code last_error() { return {errno, std::generic_category()}; }

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

// The addresses of a name, those of IPv4 first.
class Addresses {
 public:
  Addresses(const std::string& host, int port, int flags, std::error_code& error) {
    static const NameErrors category;
    addrinfo hints{}, *list = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV | flags;
    const int code = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
    error = code == EAI_SYSTEM ? last_error() : code ? std::error_code(code, category) : std::error_code();
    list_.reset(list);
    for (const addrinfo* info = list; info; info = info->ai_next) all.push_back(info);
    std::stable_partition(all.begin(), all.end(),
                          [](const addrinfo* info) { return info->ai_family == AF_INET; });
  }

  std::vector<const addrinfo*> all;

 private:
  std::unique_ptr<addrinfo, FreeAddresses> list_;
};

int open_socket(const addrinfo& address) {
  return ::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

void set_option(int descriptor, int level, int option, int value) {
  ::setsockopt(descriptor, level, option, &value, sizeof(value));
}

// Waits for an event of poll(2); false after `seconds`.
bool wait_for(int descriptor, int16_t events, double seconds, std::error_code& error) {
  pollfd poll{.fd = descriptor, .events = events, .revents = 0};
  const int milliseconds = static_cast<int>(std::clamp(seconds, 0.0, 1e6) * 1000);
  int count = ::poll(&poll, 1, milliseconds);
  while (count < 0 && errno == EINTR) count = ::poll(&poll, 1, milliseconds);
  error = count < 0 ? last_error() : std::error_code();
  return count > 0;
}

SocketAddress socket_address(const sockaddr_storage& storage) {
  char text[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    const auto& address = reinterpret_cast<const sockaddr_in&>(storage);
    ::inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text));
    return {text, ntohs(address.sin_port)};
  }
  if (storage.ss_family != AF_INET6) return {};
  const auto& address = reinterpret_cast<const sockaddr_in6&>(storage);
  if (IN6_IS_ADDR_V4MAPPED(&address.sin6_addr))
    ::inet_ntop(AF_INET, &address.sin6_addr.s6_addr[12], text, sizeof(text));
  else
    ::inet_ntop(AF_INET6, &address.sin6_addr, text, sizeof(text));
  return {text, ntohs(address.sin6_port)};
}

std::error_code connect_to(int descriptor, const addrinfo& address, double seconds) {
  if (::connect(descriptor, address.ai_addr, address.ai_addrlen) == 0) return {};
  if (errno != EINPROGRESS) return last_error();
  std::error_code error;
  if (!wait_for(descriptor, POLLOUT, seconds, error))
    return error ? error : std::make_error_code(std::errc::timed_out);
  int code = 0;
  socklen_t size = sizeof(code);
  if (::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) < 0) return last_error();
  return {code, std::generic_category()};
}

}  // namespace

Socket::Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

Socket::~Socket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Socket Socket::listen(const std::string& host, int port, std::error_code& error) {
  const Addresses addresses(host, port, AI_PASSIVE, error);
  for (const addrinfo* address : addresses.all) {
    Socket socket(open_socket(*address));
    set_option(socket.descriptor_, SOL_SOCKET, SO_REUSEADDR, 1);
    if (socket.is_open() && ::bind(socket.descriptor_, address->ai_addr, address->ai_addrlen) == 0 &&
        ::listen(socket.descriptor_, SOMAXCONN) == 0) {
      error.clear();
      return socket;
    }
    error = last_error();
  }
  return {};
}

Socket Socket::connect(const std::string& host, int port, double seconds, std::error_code& error) {
  const Addresses addresses(host, port, 0, error);
  for (const addrinfo* address : addresses.all) {
    Socket socket(open_socket(*address));
    error = socket.is_open() ? connect_to(socket.descriptor_, *address, seconds) : last_error();
    if (!error) {
      send_at_once(socket.descriptor_);
      return socket;
    }
  }
  return {};
}

SocketAddress Socket::local_address() const {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  ::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&storage), &size);
  return socket_address(storage);
}

bool Socket::wait_for_bytes(double seconds, std::error_code& error) {
  return wait_for(descriptor_, POLLIN, seconds, error);
}

size_t Socket::read(std::span<std::byte> bytes, std::error_code& error) {
  while (true) {
    const ssize_t count = ::recv(descriptor_, bytes.data(), bytes.size(), 0);
    error = count < 0 ? last_error() : std::error_code();
    if (count >= 0) return static_cast<size_t>(count);
    if (errno == EAGAIN)
      wait_for(descriptor_, POLLIN, 1, error);
    else if (errno != EINTR)
      return 0;
  }
}

void Socket::write(std::span<const std::byte> bytes, double seconds, std::error_code& error) {
  error.clear();
  while (!bytes.empty() && !error) {
    const ssize_t count = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count >= 0)
      bytes = bytes.subspan(static_cast<size_t>(count));
    else if (errno != EAGAIN && errno != EINTR)
      error = last_error();
    else if (!wait_for(descriptor_, POLLOUT, seconds, error) && !error)
      error = std::make_error_code(std::errc::timed_out);
  }
}

void Socket::end_writing() { platform::end_writing(descriptor_); }

int Socket::release() { return std::exchange(descriptor_, -1); }

SocketAddress peer_address(int descriptor) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  ::getpeername(descriptor, reinterpret_cast<sockaddr*>(&storage), &size);
  return socket_address(storage);
}

void send_at_once(int descriptor) { set_option(descriptor, IPPROTO_TCP, TCP_NODELAY, 1); }

void end_writing(int descriptor) { ::shutdown(descriptor, SHUT_WR); }

void allow_open_files(int64_t count) {
  rlimit limit{};
  const auto wanted = static_cast<rlim_t>(count);
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(limit.rlim_max, wanted);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace aviary::platform
