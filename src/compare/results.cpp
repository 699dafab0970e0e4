#include "compare/results.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace aviary {

int64_t MemberResult::tokens() const { return log.empty() ? 0 : log.back().step * config.tokens_per_step(); }

double MemberResult::seconds() const {
  double sum = 0;
  for (const StepReport& report : log) sum += report.seconds;
  return sum;
}

double MemberResult::tokens_per_second() const {
  if (log.empty()) return plan.tokens_per_second;
  std::vector<double> seconds;
  for (const StepReport& report : log) seconds.push_back(report.seconds);
  const auto middle = seconds.begin() + std::ssize(seconds) / 2;
  std::nth_element(seconds.begin(), middle, seconds.end());
  return static_cast<double>(config.tokens_per_step()) / std::max(*middle, 1e-9);
}

double MemberResult::training_loss() const {
  double sum = 0;
  int64_t count = 0;
  const int64_t wanted = std::max<int64_t>(1, std::ssize(log) / 20);
  for (auto report = log.rbegin(); report != log.rend() && count < wanted; ++report)
    if (std::isfinite(report->loss)) {
      sum += report->loss;
      ++count;
    }
  return count ? sum / static_cast<double>(count) : std::numeric_limits<double>::quiet_NaN();
}

double MemberResult::validation_bits_per_byte() const {
  for (auto report = log.rbegin(); report != log.rend(); ++report)
    if (report->validation_bits_per_byte >= 0) return report->validation_bits_per_byte;
  return std::numeric_limits<double>::quiet_NaN();
}

int64_t MemberResult::state_bytes(int64_t tokens) const {
  if (cost.context_limit > 0) tokens = std::min(tokens, cost.context_limit);
  return cost.state_bytes + cost.state_growth * tokens;
}

}  // namespace aviary
