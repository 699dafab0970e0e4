// Who may speak to a server on this machine. Every page in a browser can send requests to local addresses,
// and a name that its owner lets point to 127.0.0.1 makes the server look like part of his site. Hence the
// Host field must be a name of this server, and a page of another origin must be allowed by name. Pure
// functions: nothing here knows sockets.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/parser.h"

namespace aviary::http {

struct OriginRules {
  // Names or addresses, without port, that the Host field may give besides localhost, 127.0.0.0/8 and [::1]:
  // what
  // --host and --allowed-host say.
  std::vector<std::string> hosts = {};
  // Origins whose pages may use this server (--cors-origin), e.g. "https://chat.example"; "*" allows all.
  std::vector<std::string> cors_origins = {};
};

// Whether `host`, as in a Host field, names this server. The port does not matter.
bool is_allowed_host(std::string_view host, const OriginRules& rules);

// 403 for a request whose Host or Origin is not allowed; 415 for a POST that comes from a page and does not
// carry JSON, which a browser would send without asking first. Nothing if the request may go on.
std::optional<Refusal> check_origin(const HttpRequest& head, const OriginRules& rules);

// Fields that let the page that sent this request read the answer; none for requests of the same origin and
// for those that name no origin.
Headers cors_headers(const HttpRequest& head, const OriginRules& rules);

// The answer to OPTIONS: which methods there are, and to the question of a browser whether a page of another
// origin may send its request. The request has passed check_origin().
Headers options_headers(const HttpRequest& head, const OriginRules& rules);

// The API key of a request: that of `Authorization: Bearer KEY`, else of `X-Api-Key`. Empty if there is none.
std::string_view given_key(const HttpRequest& head);
// Whether `given` is one of the keys. Takes the same time wherever the two differ, so that the time tells
// nothing about a key, except that it is longer than 256 bytes.
bool is_one_of(std::string_view given, const std::vector<std::string>& keys);

}  // namespace aviary::http
