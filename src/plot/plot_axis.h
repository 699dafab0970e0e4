// Positions and labels of the ticks of a plot.
#pragma once

#include <string>
#include <vector>

namespace aviary {

struct Tick {
  double value = 0;
  std::string label;
};

// One direction of a plot: maps values to [0, 1].
class Axis {
 public:
  // Covers [low, high]: finite, at most 1e100 in magnitude, low <= high, and positive if logarithmic. A range
  // too narrow to be divided is widened around its middle. `margin` is the share of the range added at each
  // end.
  Axis(double low, double high, bool logarithmic, double margin = 0);

  // 0 at the low end, 1 at the high end.
  double position(double value) const;
  // One to `most` + 1 round values within the range, `most` >= 3: multiples of 1, 2 or 5 times a power of
  // ten; on a logarithmic axis powers of ten, with 2 and 5 between them if there is room.
  std::vector<Tick> ticks(int most) const;

  double low() const { return low_; }
  double high() const { return high_; }

 private:
  std::vector<Tick> linear_ticks(int most) const;

  double low_, high_;
  bool logarithmic_;
};

// "0", "0.25", "-3", "2.5k", "1M", "2e-5"
std::string tick_label(double value);

}  // namespace aviary
