// The learning rate over the steps of a run.
#pragma once

#include <cstdint>
#include <string>

namespace aviary {

enum class ScheduleKind : uint8_t { constant, linear, cosine, exponential };
// Throws Error for another name.
ScheduleKind schedule_kind(const std::string& name);
std::string name_of(ScheduleKind kind);

struct Schedule {
  ScheduleKind kind = ScheduleKind::cosine;
  double start = 6e-4, end = 6e-5;
  int64_t steps = 1000;
  int64_t warmup = 10;
  double warmup_from = 0.01;  // share of the rate at step 0; it rises linearly until `warmup`

  // The rate of a step >= 0; after `steps` it stays at the end.
  double rate(int64_t step) const;
};

}  // namespace aviary
