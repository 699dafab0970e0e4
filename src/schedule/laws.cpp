#include "schedule/laws.h"

#include <algorithm>
#include <cmath>

namespace aviary {
namespace {

constexpr double largest_ratio = 1.125;  // of the rates at the ends of a piece
constexpr double lowest_share = 0.01;    // of the higher end: below it, one piece goes to 0

// Adds the straight piece from a to b, which lie at these areas, in parts.
void add_pieces(RatePoint a, RatePoint b, double area, std::vector<RateChange>& changes) {
  const double high = std::max(a.rate, b.rate), low = std::max(std::min(a.rate, b.rate), high * lowest_share);
  const double wanted = std::ceil(std::log(high / low) / std::log(largest_ratio));
  const int parts = std::max(1, static_cast<int>(wanted));
  // The rates of the parts' ends are a geometric sequence, so that each part has the same ratio.
  auto rate_at = [&](int part) {
    if (part == 0) return a.rate;
    if (part == parts) return b.rate;
    const double share = static_cast<double>(part) / parts;
    return a.rate > b.rate ? high * std::pow(low / high, share) : low * std::pow(high / low, share);
  };
  double before = a.rate;
  const double steps = b.step - a.step;
  for (int part = 1; part <= parts; ++part) {
    const double rate = rate_at(part);
    const double time = steps * std::abs(rate - before) / std::abs(b.rate - a.rate);
    const double end = area + time * (rate + before) / 2;
    changes.push_back({rate - before, (rate + before) / 2, area, end});
    area = end;
    before = rate;
  }
}

// The mean of (1 + a s)^-beta over s in [from, to].
double mean_power(double a, double beta, double from, double to) {
  const double x = 1 + a * from, y = 1 + a * to;
  if (y - x < 1e-3 * x) return std::pow((x + y) / 2, -beta);
  if (std::abs(beta - 1) < 1e-6) return std::log(y / x) / (y - x);
  return (std::pow(y, 1 - beta) - std::pow(x, 1 - beta)) / ((1 - beta) * (y - x));
}

}  // namespace

std::vector<RateChange> changes_of(const RateCurve& rates, double up_to) {
  std::vector<RateChange> changes;
  const std::vector<RatePoint>& points = rates.points();
  for (size_t i = 0; i < points.size() && points[i].step <= up_to; ++i) {
    const RatePoint before = i == 0 ? RatePoint{0, 0} : points[i - 1];
    const double area = rates.area(points[i].step);
    if (points[i].rate == before.rate) continue;
    if (points[i].step == before.step)
      changes.push_back({points[i].rate - before.rate, points[i].rate, area, area});
    else
      add_pieces(before, points[i], rates.area(before.step), changes);
  }
  const RatePoint last{up_to, rates.rate(up_to)};
  const auto after = std::upper_bound(points.begin(), points.end(), up_to,
                                      [](double at, const RatePoint& point) { return at < point.step; });
  if (after != points.begin() && after != points.end() && std::prev(after)->rate != last.rate)
    add_pieces(*std::prev(after), last, rates.area(std::prev(after)->step), changes);
  return changes;
}

std::vector<double> MultiPowerLaw::losses(const RateCurve& rates, std::span<const double> steps) const {
  std::vector<double> result;
  if (steps.empty()) return result;
  const std::vector<RateChange> changes = changes_of(rates, steps.back());
  std::vector<double> pace;
  for (const RateChange& piece : changes) pace.push_back(C * std::pow(piece.rate, -gamma));
  for (const double step : steps) {
    const double area = rates.area(step);
    double sum = 0;
    for (size_t k = 0; k < changes.size() && changes[k].area_begin < area; ++k) {
      const RateChange& piece = changes[k];
      const double length = piece.area_end - piece.area_begin, done = std::min(area, piece.area_end);
      const double share = length > 0 ? (done - piece.area_begin) / length : 1;
      sum += piece.change * share * (1 - mean_power(pace[k], beta, area - done, area - piece.area_begin));
    }
    result.push_back(floor + A * std::pow(area, -alpha) + B * sum);
  }
  return result;
}

double MultiPowerLaw::loss(const RateCurve& rates, double step) const {
  return losses(rates, std::span(&step, 1)).front();
}

std::vector<double> RelaxationLaw::losses(const RateCurve& rates, std::span<const double> steps) const {
  std::vector<double> result;
  double loss = start, area = 0;
  for (double rate_before = rates.rate(0); const double step : steps) {
    // Between two of the steps the rate is taken as constant.
    const double to = rates.area(step), rate = rates.rate(step);
    if (to > area) {
      const double limit = floor + alpha * (rate + rate_before) / 2;
      loss = limit + (loss - limit) * std::exp(-beta * (to - area));
      area = to;
    }
    rate_before = rate;
    result.push_back(loss);
  }
  return result;
}

double RelaxationLaw::best_rate(double loss, double t) const {
  const double x = loss - floor;
  return 2 * x / (beta * x * t + 4 * alpha);
}

}  // namespace aviary
