#include "compare/ledger.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* ledger_file = "compare.json";
constexpr int64_t largest_ledger = 1 << 20;

}  // namespace

std::optional<Ledger> read_ledger(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / ledger_file;
  if (!std::filesystem::exists(path)) return {};
  const Json json = parse_ordered_json(read_file(path, largest_ledger), path.string());
  try {
    Ledger ledger{.asked = json.at("asked").dump(), .steps = json.at("steps"), .plans = {}};
    for (const auto& [name, plan] : json.at("members").items())
      ledger.plans[name] = {plan.at("parameters"), plan.at("training_bytes"), plan.at("tokens_per_second")};
    return ledger;
  } catch (const Json::exception&) {
    fail("{}: not the settings of a comparison; name another folder with --out", path.string());
  }
}

void write_ledger(const std::filesystem::path& folder, const Ledger& ledger) {
  Json json{{"asked", parse_ordered_json(ledger.asked, "asked")},
            {"steps", ledger.steps},
            {"members", Json::object()}};
  for (const auto& [name, plan] : ledger.plans)
    json["members"][name] = {{"parameters", plan.parameters},
                             {"training_bytes", plan.training_bytes},
                             {"tokens_per_second", plan.tokens_per_second}};
  write_file_atomically(folder / ledger_file, json.dump(2) + "\n");
}

std::string asked_of(const TrainConfig& shared, bool own_recipes) {
  Json json = parse_ordered_json(to_json(shared), "asked");
  json["own_recipes"] = own_recipes;
  return json.dump();
}

std::string asked_by_this_program(const std::string& asked, const std::string& where) {
  Json json = parse_ordered_json(asked, where);
  if (json.contains("format")) {  // with the defaults of settings that have been added since
    const TrainConfig standard;
    const Json defaults = parse_ordered_json(to_json(standard), "defaults");
    for (const auto& [name, value] : defaults.items())
      if (!json.contains(name)) json[name] = value;
    return json.dump();
  }
  if (!json.contains("own_recipes")) return asked;
  const Json own_recipes = json["own_recipes"];
  json.erase("own_recipes");
  TrainConfig shared = train_config_from_json(json.dump(), where);
  shared.schedule.most_steps = 0;         // format 1 wrote a number although there was none
  shared.model.ctx_len = shared.context;  // and the planned context where another one was given
  return asked_of(shared, own_recipes);
}

std::string difference(const std::string& there, const std::string& here) {
  const Json old = parse_ordered_json(there, "asked").flatten(),
             now = parse_ordered_json(here, "asked").flatten();  // "/model/n_layer"
  const Json nothing;
  auto at = [&](const Json& json, const std::string& name) -> const Json& {
    return json.contains(name) ? json.at(name) : nothing;
  };
  for (const Json* json : {&now, &old})
    for (const auto& [path, value] : json->items())
      if (path != "/text" && at(old, path) != at(now, path))
        return fmt::format("{} is {} there and {} here", path.substr(path.rfind('/') + 1),
                           at(old, path).dump(), at(now, path).dump());
  return "";
}

}  // namespace aviary
