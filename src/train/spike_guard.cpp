#include "train/spike_guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/error.h"

namespace aviary {
namespace {

constexpr double kept = 0.96;          // of the average in each step
constexpr int64_t steps_before = 100;  // until the average is trusted
constexpr int64_t steps_in_a_row = 3;
constexpr double deviations = 6, share = 0.2;  // above the average

}  // namespace

bool SpikeGuard::note(double loss) {
  if (!std::isfinite(loss)) return false;
  const double above = loss - mean_;
  const bool high =
      noted_ >= steps_before && above > std::max(deviations * std::sqrt(variance_), share * mean_);
  if (high) return ++high_ >= steps_in_a_row;
  high_ = 0;
  // Of few losses, the plain average.
  const double stays = std::min(kept, static_cast<double>(noted_) / static_cast<double>(noted_ + 1));
  mean_ += (1 - stays) * above;
  variance_ = stays * (variance_ + (1 - stays) * above * above);
  ++noted_;
  return false;
}

std::string SpikeGuard::text() const { return fmt::format("{} {} {} {}", mean_, variance_, noted_, high_); }

void SpikeGuard::set(const std::string& text) {
  std::istringstream numbers(text);
  numbers >> mean_ >> variance_ >> noted_ >> high_;
  require(!numbers.fail() && noted_ >= 0 && high_ >= 0, "\"{}\" is no memory of losses", text);
}

}  // namespace aviary
