// From a request to the protocol that answers it. A protocol is a list of routes and a form of errors.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/answer.h"
#include "serve/service.h"
#include "serve/sse.h"

namespace aviary {

struct ServeRequest {
  std::string method = {};   // "POST"
  std::string path = {};     // decoded, without the query
  HttpHeaders query = {};    // decoded names and values
  HttpHeaders headers = {};  // names in lower case
  std::string body = {};
  // Set by the router if the server has keys: what stands for the client's key, not the key itself, because
  // it goes into files.
  std::string key = {};
  std::string id = {};  // set by the router if empty: "req_..."

  // The first value; nullptr if there is none.
  const std::string* header(std::string_view lower_name) const;
  const std::string* value(std::string_view name) const;  // of the query
};

// Why a request is not answered as it asked.
struct Failure {
  int status = 500;
  TaskError error = {};
  std::string request_id = {};
};

// The status of an error: 400, 404, 413, 429, 503 or 500; 400 for a context that is too long.
int status_of(const TaskError& error);

// The body of a failure in the form of a protocol, JSON.
using ErrorForm = std::string (*)(const Failure& failure);

// {"error":{"message","type","param","code"}}
std::string openai_error(const Failure& failure);

struct RouterOptions {
  std::vector<std::string> keys = {};  // one of them must be sent with a request; none: no key is needed
  std::string version = {};            // of the program
  // The most tokens that a request may ask for; also those of requests that name no number. 0: no limit.
  int64_t max_tokens = 0;
};

class Router;

// A request that is being answered. A handler throws TaskFailure before it has begun to answer, or answers.
struct Call {
  Service& service;
  Router& router;
  ServeRequest request;
  std::shared_ptr<Answer> answer;
  std::vector<std::string> parts = {};  // what the {...} of the path stand for
  ErrorForm error = openai_error;
};

struct Route {
  std::string method = {};  // a GET is also answered to HEAD
  // "/v1/models/{id}": {...} stands for one part of a path; at the end for one or more, with their slashes.
  std::string path = {};
  std::function<void(Call& call)> handle = {};
  ErrorForm error = openai_error;
  bool open = false;  // needs no key
  // The route is for requests with this header only, before others of the same path; empty: for all.
  std::string header = {};
};

// Thread-safe.
class Router {
 public:
  // Without routes: each protocol adds its own (serve/protocols.h and others).
  Router(Service& service, RouterOptions options);

  // To be called before handle().
  void add(Route route);
  // The form of errors of paths below `prefix` that have no route: "/api/".
  void add_form(std::string prefix, ErrorForm form);

  // Answers a request, here or later on threads of the service; never throws. May wait for the service (a
  // model that is loaded, a long text that is tokenized), so the network thread must not call it.
  void handle(ServeRequest request, std::shared_ptr<Answer> answer);

  // Whether a request with this head may be handled; may be called before the body is read. What is missing
  // otherwise: a key.
  std::optional<Failure> refuse_head(const ServeRequest& head) const;
  // The body of a failure in the form of the protocol that answers this path.
  std::string failure_body(std::string_view path, const Failure& failure) const;

  // To be called every five seconds: streams that were silent for long tell their clients that they live.
  void tick();
  // Ticks this one, too, while it exists.
  void watch(const std::shared_ptr<Ticking>& ticking);

  const RouterOptions& options() const { return options_; }

 private:
  const Route* find(const ServeRequest& request, std::vector<std::string>& parts, std::string& allowed) const;
  ErrorForm form_of(std::string_view path) const;

  Service& service_;
  RouterOptions options_;
  std::vector<Route> routes_;
  std::vector<std::pair<std::string, ErrorForm>> forms_;
  std::mutex mutex_;
  std::vector<std::weak_ptr<Ticking>> watched_;
};

// The id of a request as OpenAI's clients read it, and as Anthropic's do.
HttpHeaders request_id_headers(const std::string& id);
// Answers with JSON and the request's id. `state`: the id of a state that was kept, which X-RWKV-State-Id
// then tells; empty: none.
void respond_json(const Call& call, std::string json, int status = 200, const std::string& state = {});
// Answers with a failure in the call's form, with Retry-After where trying again makes sense.
void respond_failure(const Call& call, const TaskError& error);

// A new id: the prefix and 20 letters and digits, different each time.
std::string new_id(std::string_view prefix);
// Seconds since 1970.
int64_t now_seconds();

}  // namespace aviary
