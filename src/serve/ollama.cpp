#include "serve/ollama.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "chat/chat_template.h"
#include "serve/json_fields.h"
#include "serve/ollama_requests.h"
#include "serve/ollama_sink.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

// Clients compare it with the version of ollama that had what they need.
constexpr const char* version_of_protocol = "0.20.0";
// Of a model without a limit: clients divide their texts by this number.
constexpr int64_t unlimited_context = int64_t{1} << 20;

// "191M"
std::string short_number(int64_t number) {
  const auto value = static_cast<double>(number);
  if (value >= 1e9) return fmt::format("{:.1f}B", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.0f}M", value / 1e6);
  return fmt::format("{:.0f}K", value / 1e3);
}

std::string upper(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

Json details_of(const ModelInfo& info) {
  const size_t dot = info.path.rfind('.');
  return {{"parent_model", ""},
          {"format", dot == std::string::npos ? "" : info.path.substr(dot + 1)},
          {"family", info.version},
          {"families", Json::array({info.version})},
          {"parameter_size", short_number(info.parameters)},
          {"quantization_level", upper(info.type)}};
}

int64_t context_of(const ModelInfo& info) { return info.context > 0 ? info.context : unlimited_context; }

void list_models(const Call& call, bool running) {
  Json models = Json::array();
  for (const ModelInfo& info : call.service.models()) {
    if (running && !info.loaded) continue;
    Json entry = {{"name", info.name}, {"model", info.name}, {"size", info.bytes}, {"digest", info.digest}};
    entry["details"] = details_of(info);
    if (running) {
      entry["expires_at"] = "9999-12-31T23:59:59Z";
      entry["size_vram"] = 0;
      entry["context_length"] = context_of(info);
    } else {
      entry["modified_at"] = ollama_time(info.created);
    }
    models.push_back(std::move(entry));
  }
  respond_json(call, json_text({{"models", std::move(models)}}));
}

// "model", or "name" of older clients.
std::string named_model(const Fields& body) {
  if (const auto name = body.text("model")) return *name;
  return body.has("name") ? *body.text("name") : body.required_text("model");
}

void show_model(const Call& call) {
  const Json body = parse_request(call.request.body);
  const ModelInfo info = call.service.model(ollama_model(call.service, named_model(Fields(body))));
  const ChatTemplate* form = find_chat_template(info.chat_template);
  Json capabilities = Json::array({"completion", "tools", "embedding"});
  if (form != nullptr && form->thought.exists()) capabilities.push_back("thinking");
  const std::string prefix = info.version + ".";
  const Json facts = {
      {"general.architecture", info.version},        {"general.parameter_count", info.parameters},
      {prefix + "context_length", context_of(info)}, {prefix + "embedding_length", info.width},
      {prefix + "block_count", info.layers},         {prefix + "vocab_size", info.vocabulary}};
  respond_json(call, json_text({{"modelfile", ""},
                                {"parameters", ""},
                                {"template", info.chat_template},
                                {"details", details_of(info)},
                                {"model_info", facts},
                                {"capabilities", capabilities},
                                {"modified_at", ollama_time(info.created)}}));
}

// The answer to a request without a text: the model is loaded, or unloaded.
void prepare_model(const Call& call, const OllamaRequest& request) {
  const bool unload = request.kind == OllamaRequest::Kind::unload;
  if (unload)
    call.service.unload(request.task.model);
  else
    call.service.load(request.task.model);
  Json line = {{"model", request.model}, {"created_at", ollama_time_now()}};
  if (request.chat_form)
    line["message"] = {{"role", "assistant"}, {"content", ""}};
  else
    line["response"] = "";
  line["done"] = true;
  line["done_reason"] = unload ? "unload" : "load";
  answer_ollama(call, line, request.stream);
}

void write_text(Call& call, OllamaRequest request) {
  if (request.kind == OllamaRequest::Kind::load || request.kind == OllamaRequest::Kind::unload)
    return prepare_model(call, request);
  Service& service = call.service;
  const auto sink = std::make_shared<OllamaSink>(std::move(call), request);
  if (request.raw)
    service.complete(std::move(*request.raw), sink);
  else
    service.chat(std::move(request.task), sink);
}

void chat(Call& call) {
  const Json body = parse_request(call.request.body);
  write_text(call, read_ollama_chat(call, Fields(body)));
}

void generate(Call& call) {
  const Json body = parse_request(call.request.body);
  write_text(call, read_ollama_generate(call, Fields(body)));
}

// `old`: /api/embeddings, with one text and one vector.
void embed(Call& call, bool old) {
  const Json body = parse_request(call.request.body);
  const Fields fields(body);
  const std::string model = named_model(fields);
  EmbeddingTask task{.model = ollama_model(call.service, model)};
  if (old) {
    task.inputs.emplace_back(fields.required_text("prompt"));
  } else {
    fields.at("input", "a text or a list of texts");
    for (std::string& text : fields.texts("input")) task.inputs.emplace_back(std::move(text));
    task.dimensions = fields.integer("dimensions", 1, 1 << 20);
  }
  if (task.inputs.empty())
    return respond_json(call, json_text({{"model", model}, {"embeddings", Json::array()}}));
  Service& service = call.service;
  service.embed(std::move(task), [call = std::move(call), model, old](const Service::Embeddings& result,
                                                                      const std::optional<TaskError>& error) {
    if (error) return respond_failure(call, *error);
    if (old) return respond_json(call, json_text({{"embedding", result.vectors.at(0)}}));
    const auto duration = static_cast<int64_t>(result.seconds * 1e9);
    respond_json(call, json_text({{"model", model},
                                  {"embeddings", result.vectors},
                                  {"total_duration", duration},
                                  {"load_duration", 0},
                                  {"prompt_eval_count", result.tokens}}));
  });
}

// A model that is served needs no pulling.
void pull(const Call& call) {
  const Json body = parse_request(call.request.body);
  const Fields fields(body);
  ollama_model(call.service, named_model(fields));
  answer_ollama(call, {{"status", "success"}}, fields.flag("stream").value_or(true));
}

void refuse_managing(const Call& call) {
  const TaskError error{.message = "this server does not manage models: they are named when it is started"};
  call.answer->respond(501, {{"Content-Type", "application/json"}, {"x-request-id", call.request.id}},
                       ollama_error({.status = 501, .error = error}));
}

}  // namespace

void add_ollama(Router& router) {
  const auto add = [&](const char* method, const char* path, std::function<void(Call&)> handle,
                       bool open = false) {
    router.add(
        {.method = method, .path = path, .handle = std::move(handle), .error = ollama_error, .open = open});
  };
  router.add_form("/api/", ollama_error);
  add(
      "GET", "/",
      [](Call& call) {
        call.answer->respond(200, {{"Content-Type", "text/plain"}}, "Ollama is running");
      },
      true);
  add(
      "GET", "/api/version",
      [](Call& call) {
        respond_json(call, json_text({{"version", version_of_protocol}}));
      },
      true);
  add("GET", "/api/tags", [](Call& call) { list_models(call, false); });
  add("GET", "/api/ps", [](Call& call) { list_models(call, true); });
  add("POST", "/api/show", [](Call& call) { show_model(call); });
  add("POST", "/api/chat", chat);
  add("POST", "/api/generate", generate);
  add("POST", "/api/embed", [](Call& call) { embed(call, false); });
  add("POST", "/api/embeddings", [](Call& call) { embed(call, true); });
  add("POST", "/api/pull", [](Call& call) { pull(call); });
  for (const char* path : {"/api/push", "/api/create", "/api/copy"}) add("POST", path, refuse_managing);
  add("DELETE", "/api/delete", refuse_managing);
}

}  // namespace aviary
