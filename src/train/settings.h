// The settings of a training run, one line of one table each: the name in config.json, the flag of `aviary
// train` and `aviary compare`, the bounds, the heading and the text of --help. To add a setting, add a member
// to TrainConfig and a line to the table.
#pragma once

#include <span>
#include <string_view>
#include <utility>
#include <variant>

#include "train/config.h"

namespace aviary {

// Which commands have a flag for a setting: none (it is found out, not asked for), `aviary train` alone, or
// `aviary compare` too.
enum class SettingFlag : uint8_t { none, train, all };

// Headings of --help. Those of `first` come before all others.
enum class SettingGroup : uint8_t { first, model, batches, learning, output };

// The member of a config that a setting is.
using SettingMember =
    std::variant<bool& (*)(TrainConfig&), int64_t& (*)(TrainConfig&), uint64_t& (*)(TrainConfig&),
                 double& (*)(TrainConfig&), std::string& (*)(TrainConfig&),
                 std::optional<int64_t>& (*)(TrainConfig&), ScheduleKind& (*)(TrainConfig&),
                 kernels::Precision& (*)(TrainConfig&), LearningRateScales& (*)(TrainConfig&)>;

struct Setting {
  const char* name;
  SettingMember member;
  SettingFlag flag;
  SettingGroup group;
  double low, high;                 // of numbers, both included
  const char* help;                 // one line, with the default where that is not a fixed number
  bool of_model = false;            // a field of config.model, which is stored as a whole
  const char* flag_name = nullptr;  // where it is not the name with dashes

  // "--learning-rate"; "--no-l2wrap" for a switch that is on by default.
  std::string flag_text() const;
  void copy(const TrainConfig& from, TrainConfig& to) const {
    std::visit([&](auto get) { get(to) = get(const_cast<TrainConfig&>(from)); }, member);  // only reads
  }
  // Calls visit(value) with a reference to the member of `config`.
  template <typename Visit>
  void visit(TrainConfig& config, Visit visit) const {
    std::visit([&](auto get) { visit(get(config)); }, member);
  }
  template <typename Visit>
  void visit(const TrainConfig& config, Visit visit) const {
    std::visit([&](auto get) { visit(std::as_const(get(const_cast<TrainConfig&>(config)))); }, member);
  }
};

std::span<const Setting> settings();
// Null for an unknown name.
const Setting* find_setting(std::string_view name);
// Throws Error when a number of `config` is outside of its bounds, naming the flag.
void check_bounds(const Setting& setting, const TrainConfig& config);

}  // namespace aviary
