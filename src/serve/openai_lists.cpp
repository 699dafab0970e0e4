// POST /v1/embeddings, GET /v1/models and /v1/models/{id}
#include <bit>
#include <limits>
#include <utility>

#include "base/error.h"
#include "serve/openai_reply.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

// Base64 of the numbers as float32, least significant byte first.
std::string base64_of(const std::vector<float>& vector) {
  std::string bytes;
  for (float number : vector) {
    const auto bits = std::bit_cast<uint32_t>(number);
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(bits >> shift & 255);
  }
  return base64(bytes);
}

Json embeddings_json(const Service::Embeddings& found, const std::string& model, bool as_base64) {
  Json data = Json::array();
  for (const std::vector<float>& vector : found.vectors)
    data.push_back({{"object", "embedding"},
                    {"index", data.size()},
                    {"embedding", as_base64 ? Json(base64_of(vector)) : Json(vector)}});
  return {{"object", "list"},
          {"data", std::move(data)},
          {"model", model},
          {"usage", {{"prompt_tokens", found.tokens}, {"total_tokens", found.tokens}}}};
}

void serve_embeddings(Call& call) {
  const Json body = parse_request(call.request.body);
  const Fields fields(body);
  EmbeddingTask task;
  task.model = call.service.model(fields.text("model").value_or("")).name;
  task.inputs = prompts_of(fields.at("input", "a text, a list of texts or token ids"), "input");
  task.dimensions = fields.integer("dimensions", 1, std::numeric_limits<int32_t>::max());
  const bool as_base64 = fields.word("encoding_format", {"float", "base64"}).value_or("float") == "base64";
  call.request.body.clear();
  const std::string model = task.model;
  call.service.embed(std::move(task), [call, model, as_base64](const Service::Embeddings& found,
                                                               const std::optional<TaskError>& error) {
    if (error) return respond_failure(call, *error);
    respond_json(call, json_text(embeddings_json(found, model, as_base64)));
  });
}

Json openai_model(const ModelInfo& model) {
  return {{"id", model.name},
          {"object", "model"},
          {"created", static_cast<int64_t>(model.created)},
          {"owned_by", "aviary"},
          {"aliases", model.aliases},
          {"status", {{"value", model.loaded ? "loaded" : "unloaded"}}},
          {"meta",
           {{"n_params", model.parameters},
            {"n_vocab", model.vocabulary},
            {"n_embd", model.width},
            {"n_layer", model.layers},
            {"n_ctx_train", model.context},
            {"size", model.bytes},
            {"version", model.version},
            {"type", model.type}}}};
}

void serve_openai_models(Call& call) {
  Json data = Json::array();
  for (const ModelInfo& model : call.service.models()) data.push_back(openai_model(model));
  respond_json(call, json_text({{"object", "list"}, {"data", std::move(data)}}));
}

// Only names and aliases: a client that asks whether a model exists wants to know.
void serve_openai_model(Call& call) {
  for (const ModelInfo& model : call.service.models()) {
    bool named = model.name == call.parts[0];
    for (const std::string& alias : model.aliases) named |= alias == call.parts[0];
    if (named) return respond_json(call, json_text(openai_model(model)));
  }
  throw TaskFailure({.kind = TaskError::Kind::not_found,
                     .message = fmt::format("there is no model {}", in_quotes(call.parts[0])),
                     .param = "model",
                     .code = "model_not_found"});
}

}  // namespace

void add_openai_lists(Router& router) {
  add_with_and_without_v1(router, "POST", "/v1/embeddings", serve_embeddings);
  add_with_and_without_v1(router, "GET", "/v1/models", serve_openai_models);
  add_with_and_without_v1(router, "GET", "/v1/models/{id}", serve_openai_model);
}

}  // namespace aviary
