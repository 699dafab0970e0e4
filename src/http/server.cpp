#include "http/server.h"

#include <fmt/format.h>

#include "http/server_core.h"

namespace aviary::http {

struct HttpServer::Parts {
  Parts(ServerOptions options, Handler& handler) : core(std::move(options), handler) {}
  ServerCore core;
};

HttpServer::HttpServer(ServerOptions options, Handler& handler)
    : parts_(std::make_unique<Parts>(std::move(options), handler)) {}

HttpServer::~HttpServer() = default;

const std::string& HttpServer::host() const { return parts_->core.host(); }

int HttpServer::port() const { return parts_->core.port(); }

std::string HttpServer::address() const {
  const bool is_v6 = host().find(':') != std::string::npos;
  return is_v6 ? fmt::format("http://[{}]:{}", host(), port()) : fmt::format("http://{}:{}", host(), port());
}

void HttpServer::run() { parts_->core.run(); }

void HttpServer::stop(double grace_seconds) { parts_->core.stop(grace_seconds); }

ServerStatistics HttpServer::statistics() const { return parts_->core.statistics(); }

}  // namespace aviary::http
