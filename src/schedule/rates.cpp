#include "schedule/rates.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace aviary {
namespace {

double between(const RatePoint& a, const RatePoint& b, double step) {
  return b.step > a.step ? a.rate + (b.rate - a.rate) * (step - a.step) / (b.step - a.step) : b.rate;
}

// A logged rate is that of the step itself, so a jump is at the later of two steps. The change between two
// logged steps is one if it is a tenth of the highest rate and the changes before and after it are less than
// a tenth of it.
std::vector<RatePoint> with_jumps(std::span<const RatePoint> logged, double highest) {
  auto change = [&](size_t i) {  // from point i - 1 to i
    return i > 0 && i < logged.size() ? std::abs(logged[i].rate - logged[i - 1].rate) : 0.0;
  };
  std::vector<RatePoint> result;
  for (size_t i = 0; i < logged.size(); ++i) {
    const double here = change(i);
    if (here > highest / 10 && change(i - 1) < here / 10 && change(i + 1) < here / 10) {
      result.push_back({logged[i].step, logged[i - 1].rate});
    }
    result.push_back(logged[i]);
  }
  return result;
}

// Douglas and Peucker's simplification, of the points first and last and those between them.
void simplify(std::span<const RatePoint> points, size_t first, size_t last, double tolerance,
              std::vector<bool>& kept) {
  std::vector<std::pair<size_t, size_t>> open{{first, last}};
  while (!open.empty()) {
    const auto [begin, end] = open.back();
    open.pop_back();
    size_t farthest = begin;
    double most = tolerance;
    for (size_t i = begin + 1; i < end; ++i) {
      const double off = std::abs(points[i].rate - between(points[begin], points[end], points[i].step));
      if (off > most) most = off, farthest = i;
    }
    if (farthest == begin) continue;
    kept[farthest] = true;
    open.emplace_back(begin, farthest);
    open.emplace_back(farthest, end);
  }
}

}  // namespace

RateCurve::RateCurve(std::vector<RatePoint> points) : points_(std::move(points)) {
  require(!points_.empty(), "learning rates: there are none");
  if (points_.front().step > 0) points_.insert(points_.begin(), {0, 0});
  areas_.push_back(0);
  for (size_t i = 0; i < points_.size(); ++i) {
    const auto& [step, rate] = points_[i];
    require(std::isfinite(rate) && rate >= 0, "learning rates: the rate of step {} is {}, expected 0 or more",
            step, rate);
    highest_ = std::max(highest_, rate);
    if (i == 0) continue;
    const auto& [step_before, rate_before] = points_[i - 1];
    require(step >= step_before, "learning rates: step {} follows step {}", step, step_before);
    areas_.push_back(areas_.back() + (step - step_before) * (rate + rate_before) / 2);
  }
  require(highest_ > 0, "learning rates: all are 0");
}

RateCurve RateCurve::through(std::span<const RatePoint> logged) {
  double highest = 0;
  for (const RatePoint& point : logged) highest = std::max(highest, point.rate);
  const std::vector<RatePoint> points = with_jumps(logged, highest);
  std::vector<bool> kept(points.size());
  require(!points.empty(), "learning rates: there are none");
  kept.front() = kept.back() = true;
  // The points of a jump stay.
  for (size_t i = 1; i < points.size(); ++i)
    if (points[i].step == points[i - 1].step) kept[i - 1] = kept[i] = true;
  size_t before = 0;
  for (size_t i = 1; i < points.size(); ++i) {
    if (!kept[i]) continue;
    simplify(points, before, i, highest / 1000, kept);
    before = i;
  }
  std::vector<RatePoint> few;
  for (size_t i = 0; i < points.size(); ++i)
    if (kept[i]) few.push_back(points[i]);
  return RateCurve(std::move(few));
}

double RateCurve::rate(double step) const {
  const auto after = std::upper_bound(points_.begin(), points_.end(), step,
                                      [](double at, const RatePoint& point) { return at < point.step; });
  if (after == points_.end()) return points_.back().rate;
  if (after == points_.begin()) return points_.front().rate;
  return between(*std::prev(after), *after, step);
}

double RateCurve::area(double step) const {
  const auto after = std::upper_bound(points_.begin(), points_.end(), step,
                                      [](double at, const RatePoint& point) { return at < point.step; });
  if (after == points_.begin()) return 0;
  const auto before = static_cast<size_t>(after - points_.begin()) - 1;
  return areas_[before] + (step - points_[before].step) * (points_[before].rate + rate(step)) / 2;
}

double RateCurve::lowest_after(double step) const {
  double lowest = rate(step);
  for (const RatePoint& point : points_)
    if (point.step >= step) lowest = std::min(lowest, point.rate);
  return lowest;
}

double RateCurve::warm_up() const {
  for (const RatePoint& point : points_)
    if (point.rate >= highest_) return point.step;
  return 0;
}

}  // namespace aviary
