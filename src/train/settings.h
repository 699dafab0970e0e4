// The settings of a training run, one line of a table each: name in config.json, flag of `aviary train`,
// `aviary tune` and `aviary compare`, bounds, heading and text of --help. To add a setting, add a member to
// TrainConfig and a line to the table.
#pragma once

#include <span>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "train/config.h"

namespace aviary {

// The commands with a flag for a setting, one bit each; none: its value is determined, not given.
using SettingFlags = uint8_t;
namespace setting_flags {
inline constexpr SettingFlags none = 0, train = 1, compare = 2, tune = 4;
}

// Headings of --help. Those in `first` come before all others.
enum class SettingGroup : uint8_t { first, model, tuning, data, batches, learning, output };

// The member of the config for a setting.
using SettingMember =
    std::variant<bool& (*)(TrainConfig&), int64_t& (*)(TrainConfig&), uint64_t& (*)(TrainConfig&),
                 double& (*)(TrainConfig&), std::string& (*)(TrainConfig&),
                 std::optional<int64_t>& (*)(TrainConfig&), ScheduleKind& (*)(TrainConfig&),
                 kernels::Precision& (*)(TrainConfig&), WeightsByName& (*)(TrainConfig&),
                 TuneMethod& (*)(TrainConfig&), OptimizerKind& (*)(TrainConfig&),
                 std::vector<Correction>& (*)(TrainConfig&)>;

struct Setting {
  const char* name;
  SettingMember member;
  SettingFlags flags;
  SettingGroup group;
  double low, high;                 // for numbers, inclusive
  const char* help;                 // one line, including the default if that is not a fixed number
  bool of_model = false;            // a field of config.model, which is stored as a whole
  const char* flag_name = nullptr;  // if it is not the name with dashes
  bool in_bytes = false;            // a size; the flag also takes 100MB, 64KiB, ...

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
// Throws Error if a number of `config` is outside its bounds, naming the flag.
void check_bounds(const Setting& setting, const TrainConfig& config);

}  // namespace aviary
