// The learning rate over a run as a curve of straight pieces, and its integral.
#pragma once

#include <span>
#include <vector>

namespace aviary {

struct RatePoint {
  double step = 0, rate = 0;
};

class RateCurve {
 public:
  RateCurve() = default;
  // Through these points, whose steps do not decrease; two points of one step are a jump. Before the first
  // point the rate rises linearly from 0 at step 0; after the last one it stays. Throws Error for fewer than
  // one point, for rates that are negative or not finite, and if all are 0.
  explicit RateCurve(std::vector<RatePoint> points);

  // The curve through (step, rate) pairs that were logged now and then, with few points: what lies within a
  // thousandth of the highest rate of a straight piece is left out, and a large change between two logged
  // steps whose neighbors change little is a jump at the later one.
  static RateCurve through(std::span<const RatePoint> logged);

  double rate(double step) const;
  // The sum of the rates of the steps up to `step`.
  double area(double step) const;
  double highest() const { return highest_; }
  double lowest_after(double step) const;  // of the points from that step on
  double last_step() const { return points_.back().step; }
  // The first step whose rate is the highest.
  double warm_up() const;
  const std::vector<RatePoint>& points() const { return points_; }

 private:
  std::vector<RatePoint> points_;  // begins at step 0
  std::vector<double> areas_;      // up to each of the points
  double highest_ = 0;
};

}  // namespace aviary
