// The learning rate over the steps of a run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace aviary {

enum class ScheduleKind : uint8_t { constant, linear, cosine, exponential, sqrt, power };
// Throws Error for an unknown name.
ScheduleKind schedule_kind(const std::string& name);
std::string name_of(ScheduleKind kind);

struct Schedule {
  ScheduleKind kind = ScheduleKind::cosine;
  double start = 6e-4, end = 6e-5;
  // Number of steps of the run; nothing while it is unknown, in runs limited by time (TrainConfig::minutes).
  std::optional<int64_t> steps = {};
  int64_t most_steps = 0;  // upper limit while `steps` is unknown; 0: none
  int64_t warmup = 10;
  bool fit_warmup = false;    // make the warm-up at most a fifth of the steps once they are known
  double cooldown = 1;        // share of the steps after the warm-up, at the end, in which the rate falls
  double warmup_from = 0.01;  // fraction of the rate at step 0; rises linearly until `warmup`

  // The rate of a step >= 0; after `steps` it stays at its final value. While `steps` is unknown, the rate is
  // that of a run of most_steps, or of an endless one.
  double rate(int64_t step) const;
  // Makes this the number of steps, and the warm-up fit, when `done` steps are done.
  void set_steps(int64_t number, int64_t done);
};

}  // namespace aviary
