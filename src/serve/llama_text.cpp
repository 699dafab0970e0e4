// POST /tokenize, /detokenize and /apply-template of llama.cpp's server.
#include <fmt/format.h>

#include <utility>

#include "base/utf8.h"
#include "serve/llama.h"
#include "serve/openai_reply.h"
#include "serve/protocols.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

std::string model_of(const Call& call, const Fields& fields) {
  return call.service.model(fields.text("model").value_or("")).name;
}

// The bytes of a token as a text or, if they are not UTF-8 alone, as a list of numbers.
Json piece_json(const std::string& bytes) { return is_utf8(bytes) ? Json(bytes) : bytes_json(bytes); }

// add_special, parse_special: the vocabularies of RWKV have no tokens that are added to a text.
void serve_tokenize(Call& call) {
  const Json body = parse_request(call.request.body);
  const Fields fields(body);
  const std::string model = model_of(call, fields);
  const bool pieces = fields.flag("with_pieces").value_or(false);
  for (const char* name : {"add_special", "parse_special"}) fields.flag(name);
  Json tokens = Json::array();
  for (int32_t token : call.service.tokenize(model, fields.required_text("content"))) {
    if (pieces)
      tokens.push_back({{"id", token}, {"piece", piece_json(call.service.detokenize(model, {token}))}});
    else
      tokens.push_back(token);
  }
  respond_json(call, json_text({{"tokens", std::move(tokens)}}));
}

void serve_detokenize(Call& call) {
  const Json body = parse_request(call.request.body);
  const Fields fields(body);
  const std::vector<int32_t> tokens = tokens_of(fields.at("tokens", "a list of token ids"), "tokens");
  const ModelInfo model = call.service.model(model_of(call, fields));
  for (size_t i = 0; i < tokens.size(); ++i)
    if (model.vocabulary > 0 && tokens[i] >= model.vocabulary)
      refuse_field(fmt::format("tokens[{}]", i),
                   fmt::format("expected a token id below {}", model.vocabulary));
  respond_json(call, json_text({{"content", call.service.detokenize(model.name, tokens)}}));
}

void serve_template(Call& call) {
  const Json body = parse_request(call.request.body);
  RequestBasics basics;
  const ChatTask task = read_chat(call, Fields(body), basics);
  respond_json(call, json_text({{"prompt", call.service.rendered(task)}}));
}

}  // namespace

void add_llama_text(Router& router) {
  router.add({.method = "POST", .path = "/tokenize", .handle = serve_tokenize});
  router.add({.method = "POST", .path = "/detokenize", .handle = serve_detokenize});
  router.add({.method = "POST", .path = "/apply-template", .handle = serve_template});
}

void add_llama(Router& router) {
  add_llama_completion(router);
  add_llama_text(router);
  add_llama_server(router);
}

}  // namespace aviary
