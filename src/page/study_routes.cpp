// Comparisons and sweeps, as their folders tell them.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "compare/csv.h"
#include "compare/ledger.h"
#include "compare/positions.h"
#include "compare/sweep.h"
#include "eval/evaluate.h"
#include "page/json_numbers.h"
#include "page/page.h"
#include "page/path_number.h"
#include "serve/json_fields.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr int64_t largest_members_table = 1 << 20, largest_positions_table = 32 << 20;
constexpr size_t most_members = 64, most_runs_of_sweep = 64;

// A number where the cell is one, else the text; null for nothing.
Json json_of_cell(const std::string& cell) {
  if (cell.empty()) return {};
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc() || end != cell.data() + cell.size() || !std::isfinite(value)) return cell;
  return value;
}

// A name in a table becomes that of a folder only if it stays in the folder of the study.
bool is_plain(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

// The run of a part of a study; null while there is no log of it.
Json run_in(Runs& runs, const fs::path& folder) {
  std::error_code error;
  if (!fs::is_regular_file(folder / "log.jsonl", error)) return {};
  return runs.of_study(folder).id;
}

CsvTable members_table_of(const fs::path& folder) {
  const fs::path file = folder / "members.csv";
  std::error_code error;
  return CsvTable(fs::is_regular_file(file, error) ? read_file(file, largest_members_table) : "");
}

// The members in the order of their table, then those that are not in it yet.
Json json_of_comparison(const WatchedStudy& study, Runs& runs) {
  const Ledger ledger = read_ledger(study.folder).value_or(Ledger{});
  const CsvTable table = members_table_of(study.folder);
  Json members = Json::array();
  std::set<std::string> seen;
  auto begin = [&](const std::string& name) {
    const fs::path folder = study.folder / name;
    seen.insert(name);
    return Json{{"member", name}, {"run", run_in(runs, folder)}, {"running", standing_of(folder).running}};
  };
  for (size_t line = 0; line < std::min(table.size(), most_members); ++line) {
    const std::string& name = table.at(line, "member");
    if (!is_plain(name) || seen.contains(name)) continue;
    Json member = begin(name);
    for (const std::string& column : table.names())
      if (!member.contains(column)) member[column] = json_of_cell(table.at(line, column));
    members.push_back(std::move(member));
  }
  for (const auto& [name, plan] : ledger.plans) {
    if (!is_plain(name) || seen.contains(name) || members.size() >= most_members) continue;
    Json member = begin(name);
    member["parameters"] = plan.parameters;
    members.push_back(std::move(member));
  }
  const auto asked = try_parse_json(ledger.asked).value_or(nlohmann::json());
  const bool has_text = asked.is_object() && asked.contains("text") && asked["text"].is_string();
  return {{"kind", "comparison"},
          {"name", study.name},
          {"running", standing_of(study.folder).running},
          {"text", has_text ? fs::path(asked["text"].get<std::string>()).filename().string() : ""},
          {"steps", ledger.steps},
          {"members", std::move(members)}};
}

int64_t context_of(const Ledger& ledger) {
  const auto asked = try_parse_json(ledger.asked).value_or(nlohmann::json());
  const bool has_context = asked.is_object() && asked.contains("context");
  return has_context && asked["context"].is_number_integer() ? asked["context"].get<int64_t>() : 0;
}

// The loss by position of the finished members, in the bins of the comparison's own figure.
Json json_of_positions(const WatchedStudy& study) {
  const fs::path file = study.folder / "positions.csv";
  std::error_code error;
  const CsvTable table(fs::is_regular_file(file, error) ? read_file(file, largest_positions_table) : "");
  std::vector<std::pair<std::string, PositionLoss>> members;
  for (size_t line = 0; line < table.size(); ++line) {
    const std::string& name = table.at(line, "member");
    if (members.empty() || members.back().first != name) {
      if (members.size() == most_members) break;
      members.emplace_back(name, PositionLoss{.windows = 1, .nats = {}});
    }
    const Json loss = json_of_cell(table.at(line, "loss"));
    members.back().second.nats.push_back(loss.is_number() ? loss.get<double>() : std::nan(""));
  }
  const int64_t context = context_of(read_ledger(study.folder).value_or(Ledger{}));
  Json list = Json::array();
  for (const auto& [name, loss] : members) {
    Json tokens = Json::array(), losses = Json::array();
    for (const PositionBin& bin : bins_of(loss, context)) {
      tokens.push_back(rounded(bin.tokens));
      losses.push_back(rounded(bin.loss));
    }
    list.push_back({{"member", name}, {"tokens", std::move(tokens)}, {"loss", std::move(losses)}});
  }
  return {{"context", context}, {"members", std::move(list)}};
}

constexpr std::pair<const char*, double SweepResult::*> shown_figures[] = {
    {"validation", &SweepResult::validation},
    {"average", &SweepResult::validation_of_average},
    {"test", &SweepResult::test},
    {"training_loss", &SweepResult::training_loss},
    {"seconds_per_step", &SweepResult::seconds_per_step}};

Json json_of_variant(const SweepVariant& variant, const SweepVariant& first) {
  Json json{{"settings", variant.name}};
  for (const auto& [name, member] : shown_figures) {
    const MeanOf mean = mean_of(variant, member), more = difference_of(variant, first, member);
    json[name] = {{"mean", finite_or_null(mean.mean)},
                  {"half", finite_or_null(mean.half)},
                  {"count", mean.count},
                  {"more", finite_or_null(more.mean)},
                  {"more_half", finite_or_null(more.half)}};
  }
  const auto some = std::find_if(variant.results.begin(), variant.results.end(),
                                 [](const auto& result) { return result.has_value(); });
  if (some == variant.results.end()) return json;
  json["steps"] = (*some)->steps;
  json["tokens"] = (*some)->steps * (*some)->tokens_per_step;
  json["parameters"] = (*some)->parameters;
  return json;
}

// The runs of a sweep lie two folders deep: settings, seed.
Json runs_of_sweep(const fs::path& folder, Runs& runs, bool& running) {
  std::set<fs::path> places;
  std::error_code outer, inner, none;
  for (fs::directory_iterator at(folder, outer), end; !outer && at != end; at.increment(outer))
    for (fs::directory_iterator run(at->path(), inner), last; !inner && run != last; run.increment(inner))
      if (fs::is_regular_file(run->path() / "log.jsonl", none)) places.insert(run->path());
  Json list = Json::array();
  for (const fs::path& place : places) {
    running = running || standing_of(place).running;
    if (list.size() == most_runs_of_sweep) continue;
    list.push_back({{"run", runs.of_study(place).id},
                    {"settings", place.parent_path().filename().string()},
                    {"seed", place.filename().string()}});
  }
  return list;
}

Json json_of_sweep(const WatchedStudy& study, Runs& runs) {
  const Sweep sweep = read_sweep(study.folder).value_or(Sweep{});
  Json variants = Json::array();
  for (const SweepVariant& variant : sweep.variants)
    variants.push_back(json_of_variant(variant, sweep.variants.front()));
  bool running = false;
  Json list = runs_of_sweep(study.folder, runs, running);
  return {{"kind", "sweep"},
          {"name", study.name},
          {"running", running},
          {"seeds", sweep.seeds},
          {"variants", std::move(variants)},
          {"runs", std::move(list)}};
}

void serve_studies(Call& call, Runs& runs) {
  Json list = Json::array();
  for (const WatchedStudy& study : runs.studies())
    list.push_back(
        {{"id", study.id}, {"name", study.name}, {"kind", study.is_sweep ? "sweep" : "comparison"}});
  respond_json(call, json_text({{"studies", std::move(list)}}));
}

template <typename Tell>
void respond_about(Call& call, Runs& runs, Tell tell) {
  const WatchedStudy study = runs.study(number_in_path(call));
  try {
    respond_json(call, json_text(tell(study)));
  } catch (const Error& error) {  // a file of it is damaged
    fail_task(TaskError::Kind::bad_request, error.what());
  }
}

void serve_study(Call& call, Runs& runs) {
  respond_about(call, runs, [&](const WatchedStudy& study) {
    return study.is_sweep ? json_of_sweep(study, runs) : json_of_comparison(study, runs);
  });
}

void serve_positions(Call& call, Runs& runs) { respond_about(call, runs, json_of_positions); }

}  // namespace

void add_studies(Router& router, std::shared_ptr<Runs> runs) {
  const auto add = [&](const char* path, void (*handle)(Call&, Runs&)) {
    router.add(
        {.method = "GET", .path = path, .handle = [runs, handle](Call& call) { handle(call, *runs); }});
  };
  add("/v1/aviary/studies", serve_studies);
  add("/v1/aviary/studies/{study}/positions", serve_positions);  // first: {study} at the end is all the rest
  add("/v1/aviary/studies/{study}", serve_study);
}

}  // namespace aviary
