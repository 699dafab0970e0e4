// The learning rate over the steps of a run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace aviary {

enum class ScheduleKind : uint8_t { constant, linear, cosine, exponential, sqrt, power };
// Throws Error for an unknown name.
ScheduleKind schedule_kind(const std::string& name);
std::string name_of(ScheduleKind kind);

// From this step on the run was planned to end after another number of steps. The rate goes on from where it
// was, and reaches its final value there.
struct Correction {
  int64_t step = 0;
  double share = 0;  // of the steps after the warm-up, as the rate counts them, that were done there
  int64_t steps = 0;

  bool operator==(const Correction&) const = default;
};

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
  // Of a run limited by time whose speed changed, in the order of their steps; the first one, at step 0, is
  // the number that was planned first. They give the rates of all steps of the past with the same bits.
  std::vector<Correction> corrections = {};

  // The rate of a step >= 0; after `steps` it stays at its final value. While `steps` is unknown, the rate is
  // that of a run of most_steps, or of an endless one.
  double rate(int64_t step) const;
  // Makes this the number of steps, and the warm-up fit, when `done` steps are done.
  void set_steps(int64_t number, int64_t done);
  // Adds a correction after `done` steps, which must not be within the warm-up. Later ones, of a run that has
  // gone back, are forgotten.
  void correct(int64_t number, int64_t done);
  // The share of the steps after the warm-up that is done before a step: 0 to 1, linear between corrections.
  double share(int64_t step) const;
};

}  // namespace aviary
