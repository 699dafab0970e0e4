#include "train/changes.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "train/settings.h"

namespace aviary {
namespace {

constexpr const char* changeable[] = {"accumulate",   "beta1",   "beta2", "momentum",
                                      "weight_decay", "dropout", "clip"};

struct Change {
  double share;
  std::string name;
  double value;
};

// "0.5:weight-decay". Throws Error.
Change change_of(const std::string& key, double value) {
  const size_t colon = key.find(':');
  double share = 0;
  const char *begin = key.data(), *end = begin + std::min(colon, key.size());
  const auto [last, error] = std::from_chars(begin, end, share);
  require(colon != key.npos && error == std::errc() && last == end && share > 0 && share < 1,
          "--change {}: expected a share of the run above 0 and below 1, a colon and the name of a setting, "
          "as in "
          "0.5:accumulate=2",
          key);
  std::string name = key.substr(colon + 1);
  std::replace(name.begin(), name.end(), '-', '_');
  require(std::find(std::begin(changeable), std::end(changeable), name) != std::end(changeable),
          "--change {}: {} cannot change in mid-run; these can: accumulate, beta1, beta2, momentum, "
          "weight-decay, "
          "dropout, clip",
          key, name);
  return {share, name, value};
}

// In the order in which they begin.
std::vector<Change> changes_of(const TrainConfig& config) {
  std::vector<Change> changes;
  for (const auto& [key, value] : config.changes) changes.push_back(change_of(key, value));
  std::stable_sort(changes.begin(), changes.end(),
                   [](const Change& one, const Change& other) { return one.share < other.share; });
  return changes;
}

int64_t first_step_of(const Change& change, const TrainConfig& config) {
  return static_cast<int64_t>(change.share * static_cast<double>(*config.schedule.steps));
}

void apply(const Change& change, TrainConfig& config) {
  find_setting(change.name)->visit(config, [&](auto& member) {
    using Value = std::remove_cvref_t<decltype(member)>;
    if constexpr (std::is_same_v<Value, int64_t> || std::is_same_v<Value, double>)
      member = static_cast<Value>(change.value);
  });
}

}  // namespace

TrainConfig config_at(const TrainConfig& config, int64_t step) {
  TrainConfig result = config;
  if (config.schedule.steps)
    for (const Change& change : changes_of(config))
      if (step >= first_step_of(change, config)) apply(change, result);
  return result;
}

int64_t passes_before(const TrainConfig& config, int64_t step) {
  int64_t passes = 0, from = 0, accumulate = config.accumulate;
  if (config.schedule.steps)
    for (const Change& change : changes_of(config)) {
      const int64_t begin = first_step_of(change, config);
      if (change.name != "accumulate" || begin > step) continue;
      passes += (begin - from) * accumulate;
      from = begin;
      accumulate = static_cast<int64_t>(change.value);
    }
  return passes + (step - from) * accumulate;
}

double weight_decay_scale(const TrainConfig& config, int64_t step) {
  if (config.final_weight_decay < 0 || config.weight_decay <= 0 || !config.schedule.steps) return 1;
  const Schedule& schedule = config.schedule;
  const std::vector<Correction>& corrections = schedule.corrections;
  const int64_t last = (corrections.empty() ? *schedule.steps : corrections[0].steps) - 1;
  const double progress =
      corrections.empty() || step < corrections[1].step
          ? std::min(1.0, static_cast<double>(step) / static_cast<double>(std::max<int64_t>(last, 1)))
          : schedule.share(step);
  return 1 + (config.final_weight_decay / config.weight_decay - 1) * progress;
}

void check_changes(const TrainConfig& config) {
  for (const Change& change : changes_of(config)) {
    const Setting& setting = *find_setting(change.name);
    require(change.name != "accumulate" || change.value == std::floor(change.value),
            "--change {}:accumulate={}: expected a whole number", change.share, change.value);
    TrainConfig changed = config;
    apply(change, changed);
    check_bounds(setting, changed);
  }
}

}  // namespace aviary
