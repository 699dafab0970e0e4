#include "serve/router.h"

#define XXH_INLINE_ALL
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "base/random.h"
#include "http/message.h"
#include "serve/json_fields.h"

namespace aviary {
namespace {

std::string name_of_key(std::string_view key) {
  const XXH128_hash_t hash = XXH3_128bits(key.data(), key.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

using Json = nlohmann::ordered_json;

const std::string* find_name(const HttpHeaders& list, std::string_view name) {
  const auto found =
      std::find_if(list.begin(), list.end(), [&](const auto& one) { return one.first == name; });
  return found == list.end() ? nullptr : &found->second;
}

// The time does not tell how much of two texts is equal.
bool equal_in_constant_time(std::string_view secret, std::string_view text) {
  size_t difference = secret.size() ^ text.size();
  for (size_t i = 0; i < text.size(); ++i) {
    const char other = secret.empty() ? '\0' : secret[i % secret.size()];
    difference |= static_cast<unsigned char>(other ^ text[i]);
  }
  return difference == 0;
}

std::string sent_key(const ServeRequest& request) {
  if (const std::string* field = request.header("authorization")) {
    constexpr std::string_view bearer = "bearer ";
    std::string scheme = field->substr(0, bearer.size());
    for (char& c : scheme)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (scheme == bearer) return field->substr(bearer.size());
  }
  const std::string* field = request.header("x-api-key");
  return field == nullptr ? "" : *field;
}

// Whether the path has the pattern's form; then `parts` is what the {...} stand for.
bool matches(std::string_view pattern, std::string_view path, std::vector<std::string>& parts) {
  parts.clear();
  while (true) {
    const size_t open = pattern.find('{');
    if (open == std::string_view::npos) return pattern == path;
    if (pattern.substr(0, open) != path.substr(0, open)) return false;
    path.remove_prefix(open);
    pattern.remove_prefix(pattern.find('}') + 1);
    const size_t length = pattern.empty() ? path.size() : std::min(path.find('/'), path.size());
    if (length == 0) return false;
    parts.emplace_back(path.substr(0, length));
    path.remove_prefix(length);
  }
}

HttpHeaders failure_headers(const Failure& failure) {
  HttpHeaders headers = request_id_headers(failure.request_id);
  headers.emplace_back("Content-Type", "application/json");
  if (failure.status == 429 || failure.status == 503) {
    headers.emplace_back("Retry-After", failure.status == 429 ? "1" : "5");
    headers.emplace_back("x-should-retry", "true");
  }
  return headers;
}

}  // namespace

const std::string* ServeRequest::header(std::string_view lower_name) const {
  return find_name(headers, lower_name);
}

const std::string* ServeRequest::value(std::string_view name) const { return find_name(query, name); }

int status_of(const TaskError& error) {
  switch (error.kind) {
    case TaskError::Kind::bad_request:
      return 400;
    case TaskError::Kind::not_found:
      return 404;
    case TaskError::Kind::too_large:
      return error.code == "context_length_exceeded" ? 400 : 413;
    case TaskError::Kind::overloaded:
      return 429;
    case TaskError::Kind::unavailable:
      return 503;
    case TaskError::Kind::internal:
      break;
  }
  return 500;
}

std::string openai_error(const Failure& failure) {
  auto text_or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  return json_text({{"error",
                     {{"message", failure.error.message},
                      {"type", http::error_type(failure.status)},
                      {"param", text_or_null(failure.error.param)},
                      {"code", text_or_null(failure.error.code)}}}});
}

Router::Router(Service& service, RouterOptions options) : service_(service), options_(std::move(options)) {}

void Router::add(Route route) {
  const auto place = route.header.empty() ? routes_.end() : routes_.begin();
  routes_.insert(place, std::move(route));
}

void Router::add_form(std::string prefix, ErrorForm form) { forms_.emplace_back(std::move(prefix), form); }

const Route* Router::find(const ServeRequest& request, std::vector<std::string>& parts,
                          std::string& allowed) const {
  std::string_view method = request.method;
  if (method == "HEAD") method = "GET";
  for (const Route& route : routes_) {
    if (!route.header.empty() && request.header(route.header) == nullptr) continue;
    if (!matches(route.path, request.path, parts)) continue;
    if (route.method == method) return &route;
    if (allowed.find(route.method) == std::string::npos)
      allowed += (allowed.empty() ? "" : ", ") + route.method;
  }
  return nullptr;
}

ErrorForm Router::form_of(std::string_view path) const {
  std::vector<std::string> parts;
  for (const Route& route : routes_)
    if (route.header.empty() && matches(route.path, path, parts)) return route.error;
  for (const auto& [prefix, form] : forms_)
    if (path.starts_with(prefix)) return form;
  return openai_error;
}

std::optional<Failure> Router::refuse_head(const ServeRequest& head) const {
  std::vector<std::string> parts;
  std::string allowed;
  const Route* route = find(head, parts, allowed);
  if (options_.keys.empty() || (route != nullptr && route->open)) return {};
  const std::string sent = sent_key(head);
  bool known = false;
  for (const std::string& key : options_.keys) known |= equal_in_constant_time(key, sent);
  if (known) return {};
  return Failure{
      .status = 401,
      .error = {.kind = TaskError::Kind::bad_request,
                .message = sent.empty()
                               ? "this server needs an API key: send it as \"Authorization: Bearer KEY\""
                               : "the API key is wrong",
                .code = "invalid_api_key"},
      .request_id = head.id};
}

std::string Router::failure_body(std::string_view path, const Failure& failure) const {
  return form_of(path)(failure);
}

void Router::handle(ServeRequest request, std::shared_ptr<Answer> answer) {
  if (request.id.empty()) request.id = new_id("req_");
  auto refuse = [&](Failure failure, HttpHeaders more = {}) {
    failure.request_id = request.id;
    HttpHeaders headers = failure_headers(failure);
    headers.insert(headers.end(), more.begin(), more.end());
    answer->respond(failure.status, headers, failure_body(request.path, failure));
  };
  if (const std::optional<Failure> failure = refuse_head(request)) return refuse(*failure);
  std::vector<std::string> parts;
  std::string allowed;
  const Route* route = find(request, parts, allowed);
  if (route == nullptr) {
    const std::string place = printable(fmt::format("{} {}", request.method, excerpt(request.path)));
    if (allowed.empty())
      return refuse(
          {.status = 404, .error = {.kind = TaskError::Kind::not_found, .message = "there is no " + place}});
    return refuse({.status = 405,
                   .error = {.kind = TaskError::Kind::bad_request,
                             .message = fmt::format("there is no {}, but {}", place, allowed)}},
                  {{"Allow", allowed}});
  }
  if (!options_.keys.empty()) request.key = name_of_key(sent_key(request));
  Call call{service_, *this, std::move(request), std::move(answer), std::move(parts), route->error};
  try {
    route->handle(call);
  } catch (const TaskFailure& failure) {
    respond_failure(call, failure.error());
  } catch (const std::exception& error) {
    respond_failure(call, {.kind = TaskError::Kind::internal, .message = error.what()});
  }
}

void Router::watch(const std::shared_ptr<Ticking>& ticking) {
  const std::lock_guard lock(mutex_);
  watched_.push_back(ticking);
}

void Router::tick() {
  std::vector<std::shared_ptr<Ticking>> living;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(watched_, [](const auto& one) { return one.expired(); });
    for (const auto& one : watched_)
      if (auto locked = one.lock()) living.push_back(std::move(locked));
  }
  for (const auto& one : living) one->tick();
}

HttpHeaders request_id_headers(const std::string& id) { return {{"x-request-id", id}, {"request-id", id}}; }

void respond_json(const Call& call, std::string json, int status, const std::string& state) {
  HttpHeaders headers = request_id_headers(call.request.id);
  if (!state.empty()) headers.emplace_back("X-RWKV-State-Id", state);
  headers.emplace_back("Content-Type", "application/json");
  call.answer->respond(status, headers, std::move(json));
}

void respond_failure(const Call& call, const TaskError& error) {
  const Failure failure{.status = status_of(error), .error = error, .request_id = call.request.id};
  call.answer->respond(failure.status, failure_headers(failure), call.error(failure));
}

std::string new_id(std::string_view prefix) {
  static const uint64_t seed = (uint64_t{std::random_device{}()} << 32) ^ std::random_device{}();
  static std::atomic<uint64_t> count = 0;
  Random random(seed, 2 * count++);
  constexpr std::string_view letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::string id(prefix);
  for (int i = 0; i < 2; ++i) {
    uint64_t bits = random.next();
    for (int k = 0; k < 10; ++k, bits /= letters.size()) id += letters[bits % letters.size()];
  }
  return id;
}

int64_t now_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace aviary
