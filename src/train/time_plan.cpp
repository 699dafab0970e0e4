#include "train/time_plan.h"

#include <algorithm>
#include <cmath>

namespace aviary {
namespace {

constexpr int64_t first_steps = 10;       // that are measured, without the very first one, which is slower
constexpr double first_share = 0.05;      // or as many as fit into this part of the time
constexpr double last_correction = 0.97;  // of the time

}  // namespace

// Seconds for steps: without what comes after the last one, and without pauses, if they go on as so far.
double TimePlan::left(double now, double last) const {
  const double pausing = now > begun_ ? pauses_ / (now - begun_) : 0;
  return std::max(0.0, end_ - now - last) * (1 - pausing);
}

void TimePlan::set_mark(int64_t done, double now) {
  mark_ = now;
  pauses_at_mark_ = pauses_;
  steps_at_mark_ = done;
}

std::optional<int64_t> TimePlan::choose(int64_t done, double now, double last) {
  if (!begun_measuring_) {  // the very first step is slower
    begun_measuring_ = true;
    set_mark(done, now);
    if (now - begun_ < (end_ - begun_) * first_share) return {};
    pace_ = now - begun_;  // it is all there is time for to measure
    return done + static_cast<int64_t>(left(now, last) / pace_);
  }
  if (done - steps_at_mark_ < first_steps && now - begun_ < (end_ - begun_) * first_share) return {};
  pace_ = (now - mark_ - (pauses_ - pauses_at_mark_)) / static_cast<double>(done - steps_at_mark_);
  return done + static_cast<int64_t>(left(now, last) / pace_);
}

std::optional<int64_t> TimePlan::correct(int64_t done, int64_t steps, double now, double last) {
  const double share = (now - begun_) / (end_ - begun_);
  if (share < next_ || next_ > last_correction || done >= steps) return {};
  while (next_ <= share && next_ <= last_correction) next_ = next_ < 0.5 ? 2 * next_ : (1 + next_) / 2;
  if (done == steps_at_mark_) return {};
  pace_ = (now - mark_ - (pauses_ - pauses_at_mark_)) / static_cast<double>(done - steps_at_mark_);
  set_mark(done, now);
  const auto wanted = static_cast<int64_t>(left(now, last) / pace_);
  return done + std::max(wanted, (steps - done) / 2);
}

}  // namespace aviary
