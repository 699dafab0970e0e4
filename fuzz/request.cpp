// Bodies of requests, through the routes of all protocols, to the tasks that they ask for.
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "fuzz.h"
#include "serve/ollama.h"
#include "serve/protocols.h"
#include "serve/router.h"
#include "serve/states.h"
#include "support/fake_service.h"

namespace {

using namespace aviary;

constexpr const char* paths[] = {
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/responses/input_tokens",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/embeddings",
    "/completion",
    "/tokenize",
    "/detokenize",
    "/apply-template",
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/embeddings",
    "/api/show",
    "/v1/states",
    "/v1/states/mix",
};

struct Server {
  FakeService service;
  Router router{service, {}};
  Server() {
    add_openai(router);
    add_responses(router);
    add_anthropic(router);
    add_llama(router);
    add_ollama(router);
    add_states(router);
  }
};

}  // namespace

// The first byte chooses the path, the rest is the body.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Server server;
  if (size == 0) return 0;
  const auto answer = std::make_shared<FakeAnswer>();
  server.router.handle({.method = "POST",
                        .path = paths[data[0] % std::size(paths)],
                        .headers = {{"content-type", "application/json"}},
                        .body = std::string(fuzz::as_text(data, size).substr(1))},
                       answer);
  fuzz::expect(answer->answers == 1 && answer->ended, "every request has one answer");
  fuzz::expect(answer->status < 500 || answer->status == 501, "no request makes the server fail");
  const bool json = answer->header("Content-Type").starts_with("application/json");
  fuzz::expect(!json || try_parse_json(answer->body).has_value(), "an answer in JSON is JSON");
  fuzz::expect(answer->status < 400 || json, "a refusal is JSON");
  server.service.chats.clear();
  server.service.completions.clear();
  server.service.embeddings.clear();
  server.service.kept.clear();
  server.service.kept.push_back({.id = "state_0", .name = "s", .model = "bird.safetensors"});
  return 0;
}
