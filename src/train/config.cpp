#include "train/config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "base/platform.h"
#include "checkpoints/checkpoint.h"
#include "models/model.h"

namespace aviary {
namespace {

using Json = nlohmann::json;

// Calls visit(name, member) for every field: the one list that writing and reading share.
template <typename Config, typename Visit>
void visit_fields(Config& c, Visit visit) {
  visit("text", c.text);
  visit("text_hash", c.text_hash);
  visit("tokenizer", c.tokenizer);
  visit("validation_bytes", c.validation_bytes);
  visit("context", c.context);
  visit("batch", c.batch);
  visit("accumulate", c.accumulate);
  visit("carry_state", c.carry_state);
  visit("steps", c.schedule.steps);
  visit("minutes", c.minutes);
  visit("learning_rate", c.schedule.start);
  visit("final_learning_rate", c.schedule.end);
  visit("warmup", c.schedule.warmup);
  visit("warmup_from", c.schedule.warmup_from);
  visit("beta1", c.beta1);
  visit("beta2", c.beta2);
  visit("epsilon", c.epsilon);
  visit("weight_decay", c.weight_decay);
  visit("clip", c.clip);
  visit("learning_rate_scales", c.learning_rate_scales);
  visit("dropout", c.dropout);
  visit("dropout_at", c.dropout_at);
  visit("l2wrap", c.l2wrap);
  visit("seed", c.seed);
  visit("validate_every", c.validate_every);
  visit("checkpoint_every", c.checkpoint_every);
  visit("sample_every", c.sample_every);
}

}  // namespace

std::string to_json(const TrainConfig& config) {
  nlohmann::ordered_json json;
  json["model"] = parse_ordered_json(to_json(config.model), "model");
  visit_fields(config, [&](const char* name, const auto& value) { json[name] = value; });
  json["schedule"] = name_of(config.schedule.kind);
  json["precision"] = config.precision == kernels::Precision::bf16 ? "bf16" : "f32";
  return json.dump(2) + "\n";
}

TrainConfig train_config_from_json(const std::string& text, const std::string& where) {
  const Json json = parse_json(text, where);
  require(json.is_object(), "{}: not the settings of a run (JSON)", where);
  TrainConfig config;
  auto read = [&](const char* name, auto& value) {
    try {
      json.at(name).get_to(value);
    } catch (const Json::exception&) {
      fail("{}: the setting {} is missing or of the wrong kind", where, name);
    }
  };
  require(json.contains("model"), "{}: the setting model is missing", where);
  config.model = model_config_from_json(json["model"].dump(), where + ", model");
  visit_fields(config, read);
  std::string schedule, precision;
  read("schedule", schedule);
  read("precision", precision);
  config.schedule.kind = schedule_kind(schedule);
  require(precision == "f32" || precision == "bf16", "{}: precision \"{}\", expected f32 or bf16", where,
          precision);
  config.precision = precision == "bf16" ? kernels::Precision::bf16 : kernels::Precision::f32;
  check(config);
  return config;
}

DropoutPlaces dropout_places(const std::string& dropout_at) {
  DropoutPlaces places{.att = false, .ffn = false};
  for (size_t begin = 0; begin <= dropout_at.size();) {
    const size_t end = std::min(dropout_at.find(',', begin), dropout_at.size());
    const std::string place = dropout_at.substr(begin, end - begin);
    begin = end + 1;
    if (place == "att")
      places.att = true;
    else if (place == "ffn")
      places.ffn = true;
    else if (place == "after_att")
      places.after_att = true;
    else if (place == "after_ffn")
      places.after_ffn = true;
    else
      fail("--dropout-at {}: \"{}\" is no place; expected some of att, ffn, after_att, after_ffn", dropout_at,
           place);
  }
  return places;
}

void check(const TrainConfig& config) {
  auto between = [](const char* what, double value, double low, double high) {
    require(std::isfinite(value) && value >= low && value <= high, "--{} is {}, expected {} to {}", what,
            value, low, high);
  };
  const double many = 1e12;
  between("context", static_cast<double>(config.context), 1, 1 << 20);
  between("batch", static_cast<double>(config.batch), 1, 1 << 16);
  between("accumulate", static_cast<double>(config.accumulate), 1, 1 << 16);
  between("steps", static_cast<double>(config.schedule.steps), 1, many);
  between("minutes", config.minutes, 0, 1e6);
  between("warmup", static_cast<double>(config.schedule.warmup), 0, many);
  between("learning-rate", config.schedule.start, 0, 10);
  between("final-learning-rate", config.schedule.end, 0, 10);
  between("beta1", config.beta1, 0, 0.999999);
  between("beta2", config.beta2, 0, 0.999999999);
  between("weight-decay", config.weight_decay, 0, 100);
  between("clip", config.clip, 0, 1e9);
  for (const auto& [name, factor] : config.learning_rate_scales)
    between(("learning-rate-scale " + name).c_str(), factor, 0, 1000);
  between("dropout", config.dropout, 0, 0.95);
  dropout_places(config.dropout_at);
  between("checkpoint-every", static_cast<double>(config.checkpoint_every), 0, many);
  between("validate-every", static_cast<double>(config.validate_every), -1, many);
  between("sample-every", static_cast<double>(config.sample_every), -1, many);
  between("validation-bytes", static_cast<double>(config.validation_bytes), -1, 1e15);
  between("layers", static_cast<double>(config.model.n_layer), 1, 1024);
  between("width", static_cast<double>(config.model.n_embd), 8, 1 << 16);
  between("head-size", static_cast<double>(config.model.head_size), 0, 1 << 16);
  require(config.schedule.kind != ScheduleKind::exponential ||
              (config.schedule.start > 0 && config.schedule.end > 0),
          "--schedule exponential needs learning rates above 0, got {} and {}", config.schedule.start,
          config.schedule.end);
  // Activations of a step, parameters, their gradients and moments, counted low: what cannot fit is refused
  // before anything is allocated.
  const double C = static_cast<double>(config.model.n_embd),
               layers = static_cast<double>(config.model.n_layer);
  const double rows = static_cast<double>(config.context) * static_cast<double>(config.batch);
  const double gigabytes = 4 * (rows * C * layers * 20 + 4 * 12 * C * C * layers) / 1e9;
  const double here = static_cast<double>(platform::total_memory()) / 1e9;
  require(here <= 0 || gigabytes < here,
          "--context {} --batch {} with {} layers of width {} need more than {:.0f} GB of memory, but this "
          "machine has "
          "{:.1f}",
          config.context, config.batch, config.model.n_layer, config.model.n_embd, gigabytes, here);
}

}  // namespace aviary
