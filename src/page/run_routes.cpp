// The requests of the training view.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "page/file_end.h"
#include "page/json_numbers.h"
#include "page/page.h"
#include "page/path_number.h"
#include "serve/json_fields.h"
#include "train/run_folder.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr int64_t most_points = 4000, config_limit = 1 << 20, samples_limit = 4 << 20;
constexpr int64_t shown_output = 16 << 10;  // bytes of what a run has printed

double number_in(const Call& call, std::string_view name, double otherwise) {
  const std::string* text = call.request.value(name);
  if (text == nullptr || text->empty()) return otherwise;
  double value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || !std::isfinite(value))
    refuse_field(std::string(name), "expected a number");
  return value;
}

CurveQuery query_of(const Call& call) {
  CurveQuery query;
  const std::string* axis = call.request.value("axis");
  if (axis != nullptr && *axis != "step") {
    if (*axis != "tokens" && *axis != "time") refuse_field("axis", "expected step, tokens or time");
    query.axis = *axis == "tokens" ? CurveAxis::tokens : CurveAxis::time;
  }
  query.log_axis = number_in(call, "log", 0) != 0;
  query.from = number_in(call, "from", 0);
  query.to = number_in(call, "to", 0);
  query.smooth = number_in(call, "smooth", 0);
  const double points = number_in(call, "points", 1000);
  if (points < 1 || points > static_cast<double>(most_points))
    refuse_field("points", fmt::format("expected 1 to {}", most_points));
  query.points = static_cast<int64_t>(points);
  return query;
}

Json columns(const std::vector<CurvePoint>& points) {
  constexpr std::pair<const char*, double CurvePoint::*> parts[] = {
      {"x", &CurvePoint::x},
      {"loss", &CurvePoint::loss},
      {"least", &CurvePoint::least},
      {"most", &CurvePoint::most},
      {"smooth", &CurvePoint::smooth},
      {"learning_rate", &CurvePoint::learning_rate},
      {"gradient_norm", &CurvePoint::gradient_norm},
      {"tokens_per_second", &CurvePoint::tokens_per_second}};
  Json json;
  json["step"] = Json::array();
  for (const CurvePoint& point : points) json["step"].push_back(point.step);
  for (const auto& [name, member] : parts) {
    Json list = Json::array();
    for (const CurvePoint& point : points) list.push_back(finite_or_null(point.*member));
    json[name] = std::move(list);
  }
  return json;
}

void serve_log(Call& call, Runs& runs) {
  double known = 1;
  const Curve curve = runs.curve(number_in_path(call), query_of(call), known);
  Json validations = Json::array();
  for (const Validation& one : curve.validations)
    validations.push_back({{"step", one.step}, {"x", one.x}, {"bits_per_byte", one.bits_per_byte}});
  respond_json(call, json_text({{"known", known},
                                {"lines", curve.steps},
                                {"broken_lines", curve.broken},
                                {"first", finite_or_null(curve.first)},
                                {"last", finite_or_null(curve.last)},
                                {"seconds", curve.seconds},
                                {"tokens", curve.tokens},
                                {"step", curve.last_step},
                                {"loss", finite_or_null(curve.last_loss)},
                                {"tokens_per_second", finite_or_null(curve.recent_tokens_per_second)},
                                {"validations", std::move(validations)},
                                {"points", columns(curve.points)}}));
}

void serve_layers(Call& call, Runs& runs) {
  const LayerNorms layers = runs.layer_norms(number_in_path(call), query_of(call));
  Json x = Json::array(), norms = Json::array();
  for (const double place : layers.x) x.push_back(finite_or_null(place));
  for (const double norm : layers.norms) norms.push_back(rounded(norm));
  respond_json(
      call,
      json_text(
          {{"rows", layers.rows}, {"step", layers.step}, {"x", std::move(x)}, {"norms", std::move(norms)}}));
}

// The settings of a run; null where they cannot be read.
Json config_of(const fs::path& folder) {
  try {
    return parse_ordered_json(read_file(folder / "config.json", config_limit), "config.json");
  } catch (const std::exception&) {
    return {};
  }
}

void serve_list(Call& call, Runs& runs, Control* control) {
  Json list = Json::array();
  for (const WatchedRun& run : runs.list()) {
    const RunStanding standing = control ? control->standing(run.folder) : standing_of(run.folder);
    list.push_back({{"id", run.id},
                    {"name", run.name},
                    {"config", config_of(run.folder)},
                    {"running", standing.running},
                    {"stopping", standing.stopping},
                    {"problem", standing.problem},
                    {"checkpoint", is_run(run.folder)}});
  }
  respond_json(call, json_text({{"runs", std::move(list)}}));
}

void serve_output(Call& call, Runs& runs) {
  respond_json(call, json_text({{"text", output_of(runs.folder(number_in_path(call)), shown_output)}}));
}

// The samples that a run wrote, the first to the last, or the last ones of very many; of a step that was
// repeated, the last.
void serve_samples(Call& call, Runs& runs) {
  std::map<int64_t, std::string> samples;
  const std::string text = end_of_file(runs.folder(number_in_path(call)) / "samples.jsonl", samples_limit);
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const auto json = try_parse_json(line).value_or(nlohmann::json());
    if (!json.is_object() || !json.contains("step") || !json.contains("text")) continue;
    if (json["step"].is_number_integer() && json["text"].is_string())
      samples[json["step"].get<int64_t>()] = json["text"].get<std::string>();
  }
  Json list = Json::array();
  for (const auto& [step, sample] : samples) list.push_back({{"step", step}, {"text", sample}});
  respond_json(call, json_text({{"samples", std::move(list)}}));
}

}  // namespace

int64_t number_in_path(const Call& call) {
  int64_t number = -1;
  const std::string& text = call.parts[0];
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : -1;
}

void add_runs(Router& router, std::shared_ptr<Runs> runs, std::shared_ptr<Control> control) {
  router.add({.method = "GET", .path = "/v1/aviary/runs", .handle = [runs, control](Call& call) {
                serve_list(call, *runs, control.get());
              }});
  const auto add = [&](const char* path, void (*handle)(Call&, Runs&)) {
    router.add(
        {.method = "GET", .path = path, .handle = [runs, handle](Call& call) { handle(call, *runs); }});
  };
  add("/v1/aviary/runs/{run}/log", serve_log);
  add("/v1/aviary/runs/{run}/layers", serve_layers);
  add("/v1/aviary/runs/{run}/samples", serve_samples);
  add("/v1/aviary/runs/{run}/output", serve_output);
}

}  // namespace aviary
