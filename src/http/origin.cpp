#include "http/origin.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/quotes.h"

namespace aviary::http {
namespace {

constexpr size_t usual_length = 256;  // of keys, at most
constexpr std::string_view methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

// Whether a host is an address of 127.0.0.0/8 in the usual form of four numbers.
bool is_loopback_v4(std::string_view host) {
  int numbers = 0;
  for (bool first = true; !host.empty() || first; first = false) {
    const std::string_view number = host.substr(0, host.find('.'));
    if (number.empty() || number.size() > 3 ||
        number.find_first_not_of("0123456789") != std::string_view::npos ||
        (number.size() == 3 && number > "255") || (first && number != "127"))
      return false;
    ++numbers;
    if (number.size() == host.size()) return numbers == 4;
    host.remove_prefix(number.size() + 1);
  }
  return false;
}

std::string host_without_brackets(std::string host) {
  if (host.starts_with('[') && host.ends_with(']')) return host.substr(1, host.size() - 2);
  return host;
}

// scheme://host[:port] with the default port of http written out, to compare it with a Host field.
struct Origin {
  std::string scheme;
  Authority authority;
};

std::optional<Origin> parse_origin(std::string_view text) {
  const size_t end = text.find("://");
  if (end == std::string_view::npos) return {};
  const std::optional<Authority> authority = parse_authority(text.substr(end + 3));
  if (!authority) return {};
  return Origin{lower_case(text.substr(0, end)), *authority};
}

bool is_same_origin(std::string_view origin_text, std::string_view host_text) {
  const std::optional<Origin> origin = parse_origin(origin_text);
  const std::optional<Authority> host = parse_authority(host_text);
  auto port = [](const Authority& authority) { return authority.port < 0 ? 80 : authority.port; };
  return origin && host && origin->scheme == "http" && origin->authority.host == host->host &&
         port(origin->authority) == port(*host);
}

bool is_cors_origin(std::string_view origin, const OriginRules& rules) {
  return std::any_of(rules.cors_origins.begin(), rules.cors_origins.end(), [&](const std::string& allowed) {
    return allowed == "*" || lower_case(allowed) == lower_case(origin);
  });
}

// The Origin of a page that may read the answer although it comes from elsewhere.
const std::string* foreign_origin(const HttpRequest& head, const OriginRules& rules) {
  const std::string* origin = head.header("origin");
  return origin && !is_same_origin(*origin, head.host) && is_cors_origin(*origin, rules) ? origin : nullptr;
}

bool is_json(const std::string* content_type) {
  if (!content_type) return false;
  return lower_case(trimmed(std::string_view(*content_type).substr(0, content_type->find(';')))) ==
         "application/json";
}

}  // namespace

bool is_allowed_host(std::string_view host, const OriginRules& rules) {
  const std::optional<Authority> authority = parse_authority(host);
  if (!authority) return false;
  const std::string name = host_without_brackets(authority->host);
  if (name == "localhost" || name == "::1" || is_loopback_v4(name)) return true;
  return std::any_of(rules.hosts.begin(), rules.hosts.end(), [&](const std::string& allowed) {
    return host_without_brackets(lower_case(allowed)) == name;
  });
}

std::optional<Refusal> check_origin(const HttpRequest& head, const OriginRules& rules) {
  if (!head.host.empty() && !is_allowed_host(head.host, rules))
    return Refusal{.status = 403,
                   .message = fmt::format("the Host {} is not a name of this server; --allowed-host adds one",
                                          in_quotes(head.host))};
  const std::string* origin = head.header("origin");
  if (origin && !is_same_origin(*origin, head.host) && !is_cors_origin(*origin, rules))
    return Refusal{
        .status = 403,
        .message = fmt::format("pages of the origin {} may not use this server; --cors-origin allows one",
                               in_quotes(*origin))};
  if (head.method == "POST" && (origin || head.header("sec-fetch-site")) &&
      !is_json(head.header("content-type")))
    return Refusal{.status = 415,
                   .message = "a request from a page must have the Content-Type application/json"};
  return {};
}

Headers cors_headers(const HttpRequest& head, const OriginRules& rules) {
  const std::string* origin = foreign_origin(head, rules);
  if (!origin) return {};
  return {{"Access-Control-Allow-Origin", *origin}, {"Vary", "Origin"}};
}

Headers options_headers(const HttpRequest& head, const OriginRules& rules) {
  Headers headers = {{"Allow", std::string(methods)}};
  if (!foreign_origin(head, rules)) return headers;
  headers.emplace_back("Access-Control-Allow-Methods", methods);
  if (const std::string* asked = head.header("access-control-request-headers"))
    headers.emplace_back("Access-Control-Allow-Headers", *asked);
  if (const std::string* asked = head.header("access-control-request-private-network");
      asked && *asked == "true")
    headers.emplace_back("Access-Control-Allow-Private-Network", "true");
  headers.emplace_back("Access-Control-Max-Age", "600");
  return headers;
}

std::string_view given_key(const HttpRequest& head) {
  constexpr std::string_view scheme = "bearer ";
  if (const std::string* value = head.header("authorization");
      value && lower_case(std::string_view(*value).substr(0, scheme.size())) == scheme)
    return trimmed(std::string_view(*value).substr(scheme.size()));
  const std::string* key = head.header("x-api-key");
  return key ? std::string_view(*key) : std::string_view();
}

bool is_one_of(std::string_view given, const std::vector<std::string>& keys) {
  bool found = false;
  for (const std::string& key : keys) {
    size_t difference = key.size() ^ given.size();
    for (size_t i = 0; i < std::max(key.size(), usual_length); ++i) {  // all of them, also after a difference
      const unsigned a = i < key.size() ? static_cast<unsigned char>(key[i]) : 0;
      const unsigned b = i < given.size() ? static_cast<unsigned char>(given[i]) : 0;
      difference |= a ^ b;
    }
    found |= difference == 0;
  }
  return found && !given.empty();
}

}  // namespace aviary::http
