#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace aviary {
namespace {

constexpr std::pair<const char*, ScheduleKind> kinds[] = {
    {"constant", ScheduleKind::constant}, {"linear", ScheduleKind::linear},
    {"cosine", ScheduleKind::cosine},     {"exponential", ScheduleKind::exponential},
    {"sqrt", ScheduleKind::sqrt},         {"power", ScheduleKind::power}};

}  // namespace

ScheduleKind schedule_kind(const std::string& name) {
  for (auto [known, kind] : kinds)
    if (name == known) return kind;
  fail("unknown schedule \"{}\"; known are constant, linear, cosine, exponential, sqrt, power", name);
}

std::string name_of(ScheduleKind kind) {
  for (auto [name, known] : kinds)
    if (kind == known) return name;
  return "";
}

double Schedule::rate(int64_t step) const {
  double progress = 0;  // of the fall
  if (corrections.empty() || step < corrections[1].step) {
    const int64_t last = corrections.empty() ? steps.value_or(most_steps) : corrections[0].steps;
    const double span = static_cast<double>(std::max<int64_t>(last - warmup, 1));
    const double after_hold = static_cast<double>(step - warmup) - (1 - cooldown) * span;
    if (last > 0) progress = std::clamp(after_hold / (cooldown * span), 0.0, 1.0);
  } else {
    progress = std::clamp((share(step) - (1 - cooldown)) / cooldown, 0.0, 1.0);
  }
  double value = start;
  if (kind == ScheduleKind::linear) value = start + (end - start) * progress;
  if (kind == ScheduleKind::cosine)
    value = end + (start - end) * (0.5 + 0.5 * std::cos(std::numbers::pi * progress));
  if (kind == ScheduleKind::exponential) value = start * std::pow(end / start, progress);
  if (kind == ScheduleKind::sqrt) value = end + (start - end) * (1 - std::sqrt(progress));
  if (kind == ScheduleKind::power) value = end + (start - end) * std::pow(1 - progress, 1.5);
  if (step < warmup)
    value *= warmup_from + (1 - warmup_from) * static_cast<double>(step) / static_cast<double>(warmup);
  return value;
}

double Schedule::share(int64_t step) const {
  const auto after = std::upper_bound(corrections.begin(), corrections.end(), step,
                                      [](int64_t at, const Correction& one) { return at < one.step; });
  const Correction since = after == corrections.begin() ? Correction{0, 0, steps.value_or(0)} : *(after - 1);
  const int64_t from = std::max(since.step, warmup);
  const double left = static_cast<double>(std::max<int64_t>(since.steps - from, 1));
  return std::clamp(since.share + (1 - since.share) * static_cast<double>(step - from) / left, since.share,
                    1.0);
}

void Schedule::correct(int64_t number, int64_t done) {
  if (corrections.empty()) corrections.push_back({0, 0, steps.value()});
  while (corrections.size() > 1 && corrections.back().step > done) corrections.pop_back();  // it went back
  const double before = share(done);
  steps = std::max(number, done);
  corrections.push_back({done, before, *steps});
}

void Schedule::set_steps(int64_t number, int64_t done) {
  steps = std::max(number, done);
  corrections.clear();
  if (fit_warmup) warmup = std::min(warmup, std::max(*steps / 5, done));
  fit_warmup = false;
}

}  // namespace aviary
