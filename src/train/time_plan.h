// How many steps a run by minutes takes: chosen by the speed of its first ones, and corrected on the way.
#pragma once

#include <cstdint>
#include <optional>

namespace aviary {

// Times are seconds of one clock. What is neither a step nor the last validation is a pause: validations,
// samples and checkpoints on the way.
class TimePlan {
 public:
  // Of a run that begins its steps at `now` and should end at `end`.
  TimePlan(double now, double end) : end_(end), begun_(now), mark_(now) {}

  void add_pause(double seconds) { pauses_ += seconds; }
  // The run went back to an earlier step.
  void go_back(int64_t done, double now) { set_mark(done, now); }
  // After `done` steps of the run, the first one included: their number, once the first steps have shown how
  // long one takes. `last`: seconds that the run takes after its last step.
  std::optional<int64_t> choose(int64_t done, double now, double last);
  // Another number, when an eighth, a quarter, half, ... of the time is over; nothing in between. Never less
  // than half of the steps that were left, so that the rate still falls in a run that was held up.
  std::optional<int64_t> correct(int64_t done, int64_t steps, double now, double last);

  // Of a step, as far as is known; 0: not yet.
  double seconds_per_step() const { return pace_; }

 private:
  double left(double now, double last) const;
  void set_mark(int64_t done, double now);

  double end_, begun_;
  double pauses_ = 0;
  // Where the pace is measured from.
  double mark_, pauses_at_mark_ = 0;
  int64_t steps_at_mark_ = 0;
  double pace_ = 0;
  double next_ = 0.125;  // share of the time at which to correct
  bool begun_measuring_ = false;
};

}  // namespace aviary
