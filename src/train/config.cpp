#include "train/config.h"

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/platform.h"
#include "checkpoints/checkpoint.h"
#include "models/model.h"
#include "train/changes.h"
#include "train/settings.h"

namespace aviary {
namespace {

using OrderedJson = nlohmann::ordered_json;

// The format of config.json. 1 (without a format number): Aviary 0.1, which wrote a number of steps even if
// it was not known yet.
constexpr int64_t format = 2;
constexpr int64_t endless =
    1'000'000'000;  // the number of steps that format 1 wrote if only the minutes were given

void write(OrderedJson& json, const bool& value) { json = value; }
void write(OrderedJson& json, const int64_t& value) { json = value; }
void write(OrderedJson& json, const uint64_t& value) { json = value; }
void write(OrderedJson& json, const double& value) { json = value; }
void write(OrderedJson& json, const std::string& value) { json = value; }
void write(OrderedJson& json, const std::optional<int64_t>& value) {
  if (value) json = *value;
}
void write(OrderedJson& json, const ScheduleKind& value) { json = name_of(value); }
void write(OrderedJson& json, const kernels::Precision& value) { json = name_of(value); }
void write(OrderedJson& json, const WeightsByName& value) { json = value; }
void write(OrderedJson& json, const TuneMethod& value) { json = name_of(value); }
void write(OrderedJson& json, const OptimizerKind& value) { json = name_of(value); }
void write(OrderedJson& json, const std::vector<Correction>& value) {
  json = OrderedJson::array();
  for (const Correction& one : value) json.push_back(OrderedJson::array({one.step, one.share, one.steps}));
}

template <typename Value>
void read(const OrderedJson& json, Value& value) {
  json.get_to(value);
}
void read(const OrderedJson& json, std::optional<int64_t>& value) { value = json.get<int64_t>(); }
void read(const OrderedJson& json, std::vector<Correction>& value) {
  for (const auto& [step, share, steps] : json.get<std::vector<std::tuple<int64_t, double, int64_t>>>())
    value.push_back({step, share, steps});
}
void read(const OrderedJson& json, ScheduleKind& value) { value = schedule_kind(json.get<std::string>()); }
void read(const OrderedJson& json, TuneMethod& value) { value = tune_method(json.get<std::string>()); }
void read(const OrderedJson& json, OptimizerKind& value) { value = optimizer_kind(json.get<std::string>()); }
void read(const OrderedJson& json, kernels::Precision& value) {
  value = precision_of(json.get<std::string>());
}

// JSON would cut 2.5 to 2, and make a large number of a negative one.
template <typename Value>
bool fits(const OrderedJson& json, const Value&) {
  if constexpr (std::is_same_v<Value, std::optional<int64_t>>)
    return fits(json, int64_t{});
  else if constexpr (std::is_same_v<Value, int64_t> || std::is_same_v<Value, uint64_t>)
    return json.is_number_unsigned() ? std::in_range<Value>(json.get<uint64_t>())
                                     : std::is_signed_v<Value> && json.is_number_integer();
  else
    return true;
}

// In format 1, `minutes` means that the number of steps was not known, and the maximum was written instead.
void read_steps_of_format_1(TrainConfig& config) {
  if (config.minutes <= 0) return;
  config.schedule.most_steps = config.schedule.steps.value_or(endless) % endless;
  config.schedule.steps.reset();
}

int64_t format_of(const OrderedJson& json, const std::string& where) {
  if (!json.contains("format")) return 1;
  const OrderedJson& number = json["format"];
  require(number.is_number_integer() && number >= 1 && number <= format,
          "{}: format {}, but this program knows 1 to {}: the run was made by a newer Aviary", where,
          in_quotes(number.dump()), format);
  return number;
}

}  // namespace

std::string to_json(const TrainConfig& config) {
  OrderedJson json{{"format", format}, {"model", parse_ordered_json(to_json(config.model), "model")}};
  for (const Setting& setting : settings())
    if (!setting.of_model)
      setting.visit(config, [&](const auto& value) {
        OrderedJson written;
        write(written, value);
        if (!written.is_null()) json[setting.name] = std::move(written);
      });
  return json.dump(2) + "\n";
}

TrainConfig train_config_from_json(const std::string& text, const std::string& where) {
  const OrderedJson json = parse_ordered_json(text, where);
  require(json.is_object(), "{}: not the settings of a run (JSON)", where);
  const int64_t written_as = format_of(json, where);
  require(json.contains("model"), "{}: the setting model is missing", where);
  TrainConfig config;
  config.model = model_config_from_json(json["model"].dump(), where + ", model");
  for (const auto& [name, value] : json.items()) {
    if (name == "format" || name == "model") continue;
    const Setting* setting = find_setting(name);
    require(
        setting && !setting->of_model,
        "{}: there is no setting \"{}\"; the run was made by another version of Aviary, or the file changed",
        where, name);
    try {
      setting->visit(config, [&, &name = name, &value = value](auto& member) {
        require(!value.is_number() || fits(value, member), "the setting {} is {}, expected a whole number",
                name, value.dump());
        read(value, member);
      });
    } catch (const OrderedJson::exception&) {
      fail("{}: the setting {} is {}, which is of the wrong kind", where, name, in_quotes(value.dump()));
    } catch (const Error& error) {
      fail("{}: {}", where, error.what());
    }
  }
  if (written_as == 1) read_steps_of_format_1(config);
  require(config.schedule.steps || config.minutes > 0, "{}: the setting steps or minutes is missing", where);
  check(config);
  return config;
}

namespace {

constexpr std::pair<TuneMethod, const char*> methods[] = {{TuneMethod::full, "full"},
                                                          {TuneMethod::lora, "lora"},
                                                          {TuneMethod::pissa, "pissa"},
                                                          {TuneMethod::miss, "miss"},
                                                          {TuneMethod::state, "state"}};

}  // namespace

std::string name_of(TuneMethod method) {
  return std::find_if(std::begin(methods), std::end(methods),
                      [&](const auto& one) { return one.first == method; })
      ->second;
}

TuneMethod tune_method(const std::string& name) {
  const auto* found = std::find_if(std::begin(methods), std::end(methods),
                                   [&](const auto& one) { return name == one.second; });
  require(found != std::end(methods), "method \"{}\", expected full, lora, pissa, miss or state", name);
  return found->first;
}

namespace {

constexpr std::pair<OptimizerKind, const char*> optimizers[] = {
    {OptimizerKind::adamw, "adamw"}, {OptimizerKind::lion, "lion"}, {OptimizerKind::muon, "muon"}};

}  // namespace

std::string name_of(OptimizerKind kind) {
  return std::find_if(std::begin(optimizers), std::end(optimizers),
                      [&](const auto& one) { return one.first == kind; })
      ->second;
}

OptimizerKind optimizer_kind(const std::string& name) {
  const auto* found = std::find_if(std::begin(optimizers), std::end(optimizers),
                                   [&](const auto& one) { return name == one.second; });
  require(found != std::end(optimizers), "optimizer \"{}\", expected adamw, lion or muon", name);
  return found->first;
}

std::string name_of(kernels::Precision precision) {
  return precision == kernels::Precision::bf16 ? "bf16" : "f32";
}

kernels::Precision precision_of(const std::string& name) {
  require(name == "f32" || name == "bf16", "precision \"{}\", expected f32 or bf16", name);
  return name == "bf16" ? kernels::Precision::bf16 : kernels::Precision::f32;
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

namespace {

// They decide rates of the past, so a file that was changed must not pass.
void check_corrections(const Schedule& schedule) {
  const std::vector<Correction>& corrections = schedule.corrections;
  bool fine = corrections.size() != 1;
  for (size_t i = 0; i < corrections.size(); ++i) {
    const Correction& one = corrections[i];
    fine = fine && one.share >= 0 && one.share <= 1 && one.steps >= one.step;
    fine = fine && (i == 0 ? one.step == 0 && one.share == 0 : one.step >= corrections[i - 1].step);
  }
  if (!corrections.empty()) fine = fine && schedule.steps && corrections.back().steps == *schedule.steps;
  require(fine, "corrections are not numbers of steps in the order of a run that ends with the last of them");
}

}  // namespace

void check(const TrainConfig& config) {
  check_corrections(config.schedule);
  for (const Setting& setting : settings()) check_bounds(setting, config);
  dropout_places(config.dropout_at);
  check_changes(config);
  require(std::has_single_bit(static_cast<uint64_t>(config.workers)),
          "--workers is {}, expected a power of two: 1, 2, 4, 8, ...", config.workers);
  require(config.workers <= config.batch,
          "--workers is {}, but --batch {}: every worker needs a sequence of the batch", config.workers,
          config.batch);
  require(!config.cubic_order || !config.carry_state,
          "--cubic-order is an order of windows, but with --carry-state the text is read from front to back; "
          "leave "
          "one of them out");
  require(config.local_steps == 0 || config.ema == 0,
          "--ema averages the weights after every step, but with --local-steps every process has its own; "
          "leave one of "
          "them out");
  require(!config.rounded_sums || config.workers > 1,
          "--rounded-sums rounds what is added of several workers, but there is one; give their number with "
          "--workers");
  require(config.schedule.kind != ScheduleKind::exponential ||
              (config.schedule.start > 0 && config.schedule.end > 0),
          "--schedule exponential needs learning rates above 0, got {} and {}", config.schedule.start,
          config.schedule.end);
  // A lower bound of the memory for activations of a step, and for parameters, gradients and moments where
  // all are trained, so that settings that cannot fit are rejected before anything is allocated.
  const double C = static_cast<double>(config.model.n_embd),
               layers = static_cast<double>(config.model.n_layer);
  const int64_t at_once = config.chunk > 0 ? std::min(config.chunk, config.context) : config.context;
  // Of documents only the length of the longest is known.
  const bool of_documents = config.tuning.of_model() && !config.data.empty();
  const double rows = static_cast<double>(at_once) * static_cast<double>(of_documents ? 1 : config.batch);
  const double kept = config.recompute ? layers + 20 : layers * 20;  // per row and channel
  const double trained = config.tuning.method == TuneMethod::full ? 4 * 12 * C * C * layers : 0;
  const double gigabytes = 4 * (rows * C * kept + trained) / 1e9;
  const double here = static_cast<double>(platform::total_memory()) / 1e9;
  require(here <= 0 || gigabytes < here,
          "--context {} --batch {} with {} layers of width {} need more than {:.0f} GB of memory, but this "
          "machine has {:.1f}",
          config.context, config.batch, config.model.n_layer, config.model.n_embd, gigabytes, here);
}

}  // namespace aviary
