// What llama.cpp's server tells about itself: /health, /props, /slots, /metrics; and /models/load, /unload.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "serve/llama.h"
#include "serve/openai_reply.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

void serve_health(Call& call) { respond_json(call, R"({"status":"ok"})"); }

// The model of the query's `model`, or the first one. Tasks without a model are served by that one, too.
ModelInfo asked_model(const Call& call) {
  const std::string* name = call.request.value("model");
  if (name != nullptr) return call.service.model(*name);
  const std::vector<ModelInfo> models = call.service.models();
  return models.empty() ? ModelInfo{} : models.front();
}

Json params_json(const TaskOptions& options) {
  const SamplerOptions& sampling = options.sampling;
  return {{"temperature", sampling.temperature},
          {"top_k", sampling.top_k},
          {"top_p", sampling.top_p},
          {"top_a", sampling.top_a},
          {"top_p_x", sampling.top_p_x},
          {"presence_penalty", sampling.presence_penalty},
          {"frequency_penalty", sampling.frequency_penalty},
          {"penalty_decay", sampling.penalty_decay},
          {"n_predict", options.max_tokens.value_or(-1)},
          {"stop", options.stop}};
}

void serve_props(Call& call) {
  const ModelInfo model = asked_model(call);
  const TaskOptions options = model.name.empty() ? TaskOptions{} : call.service.default_options(model.name);
  respond_json(call, json_text({{"default_generation_settings",
                                 {{"n_ctx", model.context}, {"params", params_json(options)}}},
                                {"total_slots", std::max<int64_t>(call.service.figures().running, 1)},
                                {"model_alias", model.name},
                                {"model_path", model.path},
                                {"chat_template", model.chat_template},
                                {"modalities", {{"vision", false}, {"audio", false}}},
                                {"build_info", "aviary " + call.router.options().version},
                                {"is_sleeping", !model.loaded}}));
}

// There are no fixed slots here: one for every running task.
void serve_slots(Call& call) {
  Json slots = Json::array();
  for (int64_t i = 0; i < call.service.figures().running; ++i)
    slots.push_back({{"id", i}, {"is_processing", true}, {"speculative", false}});
  respond_json(call, json_text(slots));
}

struct Metric {
  std::string_view name, type, help;
  double value;
};

double rate(int64_t tokens, double seconds) {
  return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

void serve_metrics(Call& call) {
  const ServiceFigures f = call.service.figures();
  const int64_t read = f.prompt_tokens - f.cached_tokens;
  auto number = [](int64_t value) { return static_cast<double>(value); };
  const Metric metrics[] = {
      {"llamacpp:prompt_tokens_total", "counter", "Tokens of prompts that were read.", number(read)},
      {"llamacpp:prompt_seconds_total", "counter", "Time of reading prompts.", f.prompt_seconds},
      {"llamacpp:tokens_predicted_total", "counter", "Tokens that were written.", number(f.tokens)},
      {"llamacpp:tokens_predicted_seconds_total", "counter", "Time of writing.", f.seconds},
      {"llamacpp:prompt_tokens_seconds", "gauge", "Tokens read per second.", rate(read, f.prompt_seconds)},
      {"llamacpp:predicted_tokens_seconds", "gauge", "Tokens written per second of a request.",
       rate(f.tokens, f.seconds)},
      {"llamacpp:requests_processing", "gauge", "Requests that are being answered.", number(f.running)},
      {"llamacpp:requests_deferred", "gauge", "Requests that wait.", number(f.waiting)},
      {"aviary:requests_total", "counter", "Requests accepted.", number(f.requests)},
      {"aviary:requests_failed_total", "counter", "Requests that ended with an error.", number(f.failed)},
      {"aviary:cached_tokens_total", "counter",
       "Tokens of prompts that a stored state saved from being read.", number(f.cached_tokens)},
      {"aviary:cache_bytes", "gauge", "Memory of stored states.", number(f.cache_bytes)},
      {"aviary:cache_states", "gauge", "Stored states.", number(f.cache_states)},
      {"aviary:cache_evictions_total", "counter", "States that were dropped for room.",
       number(f.cache_evictions)},
  };
  std::string text;
  for (const Metric& metric : metrics)
    text += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n{0} {3}\n", metric.name, metric.help, metric.type,
                        metric.value);
  call.answer->respond(200, {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}}, std::move(text));
}

// Loads or unloads the model that the body names.
template <void (Service::*change)(const std::string&)>
void serve_change(Call& call) {
  const Json body = parse_request(call.request.body);
  const std::string name = call.service.model(Fields(body).required_text("model")).name;
  (call.service.*change)(name);
  respond_json(call, R"({"success":true})");
}

}  // namespace

void add_llama_server(Router& router) {
  for (const char* path : {"/health", "/v1/health"})
    router.add({.method = "GET", .path = path, .handle = serve_health, .open = true});
  router.add({.method = "GET", .path = "/props", .handle = serve_props});
  router.add({.method = "GET", .path = "/slots", .handle = serve_slots});
  router.add({.method = "GET", .path = "/metrics", .handle = serve_metrics});
  router.add({.method = "POST", .path = "/models/load", .handle = serve_change<&Service::load>});
  router.add({.method = "POST", .path = "/models/unload", .handle = serve_change<&Service::unload>});
}

}  // namespace aviary
