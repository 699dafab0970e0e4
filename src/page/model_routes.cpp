// The requests that convert and measure models.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/quotes.h"
#include "page/child.h"
#include "page/page.h"
#include "serve/json_fields.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

struct Workshop {
  std::shared_ptr<Runs> runs;
  std::shared_ptr<ModelWork> work;
  std::vector<ModelFile> models;
};

// What `aviary bench --json` prints comes after lines that tell how far it is.
Json measured(const std::string& text) {
  const size_t begin = text.starts_with("{") ? 0 : text.find("\n{");
  if (begin == std::string::npos) return {};
  return try_parse_json(std::string_view(text).substr(begin)).value_or(nlohmann::json());
}

Json json_of_task(const std::optional<ModelTask>& task) {
  if (!task) return {};
  const bool converts = task->kind == ModelTask::Kind::convert;
  const bool is_done = task->state == ModelTask::State::done;
  constexpr const char* states[] = {"running", "done", "failed"};
  Json json{{"id", task->id},
            {"kind", converts ? "convert" : "bench"},
            {"model", task->model},
            {"state", states[static_cast<size_t>(task->state)]},
            {"text", !converts && is_done ? "" : task->text}};
  if (converts) json["file"] = task->file.string();
  if (!converts && is_done) json["measured"] = measured(task->text);
  return json;
}

const ModelFile& model_of(const Workshop& shop, const Fields& fields) {
  const std::string name = fields.required_text("model");
  const auto found =
      std::find_if(shop.models.begin(), shop.models.end(), [&](const auto& one) { return one.name == name; });
  if (found == shop.models.end())
    fail_task(TaskError::Kind::not_found, fmt::format("there is no model {}", in_quotes(name)), "model",
              "model_not_found");
  return *found;
}

// What else computes would be measured, too.
void require_silence(const Call& call, const Workshop& shop) {
  const ServiceFigures figures = call.service.figures();
  if (figures.running + figures.waiting > 0)
    refuse_wish("the server is writing texts; measure when it is done", "busy");
  for (const WatchedRun& run : shop.runs->list())
    if (standing_of(run.folder).running)
      refuse_wish(fmt::format("the run {} is being trained; measure when it is done, or pause it",
                              in_quotes(run.name)),
                  "busy");
}

void serve_work(Call& call, const Workshop& shop) {
  respond_json(call, json_text({{"types", ModelWork::types()}, {"task", json_of_task(shop.work->last())}}));
}

void serve_convert(Call& call, const Workshop& shop) {
  const Json body = parse_request(call.request.body);
  const Fields fields(body);
  const ModelFile& model = model_of(shop, fields);
  const std::vector<std::string>& types = ModelWork::types();
  const auto type = fields.word("type", {types.begin(), types.end()});
  if (!type) refuse_field("type", "expected the name of a type");
  respond_json(call, json_text(json_of_task(shop.work->convert(model, *type))));
}

void serve_bench(Call& call, const Workshop& shop) {
  const Json body = parse_request(call.request.body);
  const ModelFile& model = model_of(shop, Fields(body));
  require_silence(call, shop);
  respond_json(call, json_text(json_of_task(shop.work->bench(model))));
}

void serve_stop_work(Call& call, const Workshop& shop) {
  shop.work->stop();
  respond_json(call, json_text({{"stopping", true}}));
}

}  // namespace

void add_model_work(Router& router, std::shared_ptr<Runs> runs, std::shared_ptr<ModelWork> work,
                    std::vector<ModelFile> models) {
  const auto shop =
      std::make_shared<const Workshop>(Workshop{std::move(runs), std::move(work), std::move(models)});
  const auto add = [&](const char* method, const char* path, void (*handle)(Call&, const Workshop&)) {
    router.add({.method = method, .path = path, .handle = [shop, handle](Call& call) {
                  shop->work ? handle(call, *shop) : refuse_control(call);
                }});
  };
  add("GET", "/v1/aviary/model-work", serve_work);
  add("POST", "/v1/aviary/model-work/convert", serve_convert);
  add("POST", "/v1/aviary/model-work/bench", serve_bench);
  add("POST", "/v1/aviary/model-work/stop", serve_stop_work);
}

}  // namespace aviary
