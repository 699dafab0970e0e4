// The learning rate over the steps of a run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace aviary {

enum class ScheduleKind : uint8_t { constant, linear, cosine, exponential };
// Throws Error for another name.
ScheduleKind schedule_kind(const std::string& name);
std::string name_of(ScheduleKind kind);

struct Schedule {
  ScheduleKind kind = ScheduleKind::cosine;
  double start = 6e-4, end = 6e-5;
  // Of the run; nothing as long as it is not known, when a run is to last for some time
  // (TrainConfig::minutes).
  std::optional<int64_t> steps = {};
  int64_t most_steps = 0;  // while the steps are not known: there will be no more than these; 0: any number
  int64_t warmup = 10;
  double warmup_from = 0.01;  // share of the rate at step 0; it rises linearly until `warmup`

  // The rate of a step >= 0; after `steps` it stays at the end. While they are not known it is that of a run
  // of most_steps, or of one without an end.
  double rate(int64_t step) const;
};

}  // namespace aviary
