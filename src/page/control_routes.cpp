// The requests that start and stop training runs.
#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "base/quotes.h"
#include "page/child.h"
#include "page/page.h"
#include "page/path_number.h"
#include "serve/json_fields.h"
#include "train/config.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr TuneMethod offered_methods[] = {TuneMethod::lora, TuneMethod::pissa, TuneMethod::miss,
                                          TuneMethod::state, TuneMethod::full};
constexpr const char* model_of_run = "model.safetensors";
constexpr int64_t most_steps = int64_t{1} << 40;

Json json_of_draft(const TuneDraft& draft) {
  constexpr const char* states[] = {"planning", "ready", "refused"};
  return {{"draft", draft.id},
          {"state", states[static_cast<size_t>(draft.state)]},
          {"folder", draft.folder.string()},
          {"text", draft.text}};
}

bool has_model(const WatchedRun& run) {
  std::error_code error;
  return fs::is_regular_file(run.folder / model_of_run, error);
}

void serve_stop(Call& call, Runs& runs, Control& control) {
  control.stop(runs.folder(number_in_path(call)));
  respond_json(call, json_text({{"stopping", true}}));
}

void serve_resume(Call& call, Runs& runs, Control& control) {
  const Json body = call.request.body.empty() ? Json::object() : parse_request(call.request.body);
  control.resume(runs.folder(number_in_path(call)), Fields(body).integer("steps", 1, most_steps));
  respond_json(call, json_text({{"running", true}}));
}

// What a run can begin with.
void serve_choices(Call& call, Runs& runs, Control& control) {
  Json bases = Json::array(), methods = Json::array();
  for (const ModelFile& model : control.options().models)
    bases.push_back({{"name", model.name}, {"model", model.name}});
  for (const WatchedRun& run : runs.list())
    if (has_model(run)) bases.push_back({{"name", run.name}, {"run", run.id}});
  for (const TuneMethod method : offered_methods) methods.push_back(name_of(method));
  respond_json(call, json_text({{"bases", std::move(bases)},
                                {"methods", std::move(methods)},
                                {"most_bytes", Control::most_bytes},
                                {"folder", control.options().new_runs.string()}}));
}

// A client names a model or a run, never a path.
fs::path base_of(const Fields& fields, Runs& runs, const Control& control) {
  if (const auto run = fields.integer("run", 0, std::numeric_limits<int32_t>::max())) {
    const fs::path file = runs.folder(*run) / model_of_run;
    std::error_code error;
    if (!fs::is_regular_file(file, error)) refuse_field("run", "this run has no model that could be tuned");
    return file;
  }
  const std::string name = fields.required_text("model");
  for (const ModelFile& model : control.options().models)
    if (model.name == name) return model.file;
  fail_task(TaskError::Kind::not_found, fmt::format("there is no model {}", in_quotes(name)), "model",
            "model_not_found");
}

std::vector<std::string> settings_of(const Fields& fields) {
  std::vector<std::string_view> known;
  std::vector<std::string> names;
  for (const TuneMethod method : offered_methods) names.push_back(name_of(method));
  known.assign(names.begin(), names.end());
  std::vector<std::string> words;
  auto put = [&](const char* flag, const auto& value) {
    if (value) words.insert(words.end(), {flag, fmt::format("{}", *value)});
  };
  put("--method", fields.word("method", known));
  put("--epochs", fields.number("epochs", 0.001, 10'000));
  put("--minutes", fields.number("minutes", 0.01, 1e6));
  put("--steps", fields.integer("steps", 1, most_steps));
  put("--learning-rate", fields.number("learning_rate", 1e-12, 10));
  put("--rank", fields.integer("rank", 1, 1 << 14));
  return words;
}

void serve_plan(Call& call, Runs& runs, Control& control) {
  const Json body = parse_request(call.request.body);
  const Fields fields(body);
  respond_json(call, json_text(json_of_draft(control.plan({.base = base_of(fields, runs, control),
                                                           .name = fields.required_text("name"),
                                                           .rows = fields.required_text("rows"),
                                                           .settings = settings_of(fields)}))));
}

void serve_draft(Call& call, Runs&, Control& control) {
  respond_json(call, json_text(json_of_draft(control.draft(number_in_path(call)))));
}

void serve_begin(Call& call, Runs& runs, Control& control) {
  const WatchedRun run = runs.begin(control.begin(number_in_path(call)));
  respond_json(call, json_text({{"run", run.id}, {"name", run.name}}));
}

void serve_give_up(Call& call, Runs&, Control& control) {
  control.give_up(number_in_path(call));
  respond_json(call, json_text({{"given_up", true}}));
}

}  // namespace

void add_control(Router& router, std::shared_ptr<Runs> runs, std::shared_ptr<Control> control) {
  const auto add = [&](const char* method, const char* path, void (*handle)(Call&, Runs&, Control&)) {
    router.add({.method = method, .path = path, .handle = [runs, control, handle](Call& call) {
                  control ? handle(call, *runs, *control) : refuse_control(call);
                }});
  };
  add("POST", "/v1/aviary/runs/{run}/stop", serve_stop);
  add("POST", "/v1/aviary/runs/{run}/resume", serve_resume);
  add("GET", "/v1/aviary/tune", serve_choices);
  add("POST", "/v1/aviary/tune/plan", serve_plan);
  add("GET", "/v1/aviary/tune/{draft}", serve_draft);
  add("POST", "/v1/aviary/tune/{draft}/begin", serve_begin);
  add("POST", "/v1/aviary/tune/{draft}/give-up", serve_give_up);
}

}  // namespace aviary
