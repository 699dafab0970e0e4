#include "plot/plot_axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

namespace aviary {
namespace {

struct Unit {
  int exponent;
  const char* name;
  double size() const { return std::pow(10.0, exponent); }
};
constexpr std::array units = {Unit{12, "T"}, Unit{9, "G"}, Unit{6, "M"}, Unit{3, "k"}};

// The exponent and the leading digit of a step of 1, 2 or 5 times a power of ten.
struct Step {
  int digit = 1;
  int exponent = 0;
  // The n-th multiple, rounded only once.
  double times(double n) const {
    return exponent < 0 ? n * digit / std::pow(10.0, -exponent) : n * digit * std::pow(10.0, exponent);
  }
};

// The smallest step of at least `least` > 0.
Step step_of(double least) {
  int exponent = static_cast<int>(std::floor(std::log10(least)));
  for (;; ++exponent)
    for (int digit : {1, 2, 5})
      if (Step step{digit, exponent}; step.times(1) >= least * (1 - 1e-9)) return step;
}

// "2e-05" -> "2e-5", "1e+15" -> "1e15"
std::string scientific(double value, int decimals) {
  std::string text = fmt::format("{:.{}e}", value, decimals);
  size_t at = text.find('e') + 1;
  if (text[at] == '+') text.erase(at, 1);
  if (text[at] == '-') ++at;
  while (text[at] == '0' && at + 1 < text.size()) text.erase(at, 1);
  return text;
}

// The labels of one axis share their number of decimals and their unit.
std::string label_of(double value, Step step, double largest) {
  if (value == 0) return "0";
  if (largest >= 1e15 || step.exponent < -4) {
    int exponent = static_cast<int>(std::floor(std::log10(std::abs(value)) + 1e-9));
    return scientific(value, std::max(0, exponent - step.exponent));
  }
  Unit chosen = {0, ""};
  for (const Unit& unit : units)
    if (largest >= 10000 && largest >= unit.size() && unit.exponent - step.exponent <= 2) {
      chosen = unit;
      break;
    }
  return fmt::format("{:.{}f}{}", value / chosen.size(), std::max(0, chosen.exponent - step.exponent),
                     chosen.name);
}

}  // namespace

std::string tick_label(double value) {
  if (value == 0) return "0";
  double size = std::abs(value);
  if (size < 0.99e-4 || size >= 0.99e15) {
    std::string text = scientific(value, 1);
    size_t zero = text.find(".0");
    return zero == std::string::npos ? text : text.erase(zero, 2);
  }
  for (const Unit& unit : units)
    if (size >= unit.size() * (1 - 1e-9)) return fmt::format("{:g}{}", value / unit.size(), unit.name);
  return fmt::format("{:g}", value);
}

Axis::Axis(double low, double high, bool logarithmic, double margin)
    : low_(low), high_(high), logarithmic_(logarithmic) {
  assert(low <= high && std::abs(low) <= 1e100 && std::abs(high) <= 1e100 && (!logarithmic || low > 0));
  double size = std::max(std::abs(low_), std::abs(high_));
  if (high_ - low_ <= std::max(1e-9 * size, 1e-100)) {
    double middle = low_ + (high_ - low_) / 2;
    double extra = size > 1e-100 ? size / 10 : 1;
    low_ = logarithmic_ ? middle / 2 : middle - extra;
    high_ = logarithmic_ ? middle * 2 : middle + extra;
  } else if (logarithmic_) {
    double factor = std::pow(high_ / low_, margin);
    low_ /= factor;
    high_ *= factor;
  } else {
    double extra = (high_ - low_) * margin;
    low_ -= extra;
    high_ += extra;
  }
}

double Axis::position(double value) const {
  if (logarithmic_) return std::log(value / low_) / std::log(high_ / low_);
  return (value - low_) / (high_ - low_);
}

std::vector<Tick> Axis::linear_ticks(int most) const {
  Step step = step_of((high_ - low_) / most);
  double largest = std::max(std::abs(low_), std::abs(high_));
  // A tick at the end of the range is included even if rounding has moved it outside.
  double first = std::ceil(low_ / step.times(1) - 1e-6), last = std::floor(high_ / step.times(1) + 1e-6);
  std::vector<Tick> ticks;
  for (double n = first; n <= last; ++n) {
    double value = step.times(n);
    ticks.push_back({value, label_of(value, step, largest)});
  }
  return ticks;
}

std::vector<Tick> Axis::ticks(int most) const {
  if (!logarithmic_) return linear_ticks(most);
  int first = static_cast<int>(std::floor(std::log10(low_))),
      last = static_cast<int>(std::ceil(std::log10(high_)));
  auto collect = [&](bool between, int stride) {
    std::vector<Tick> ticks;
    for (int exponent = first; exponent <= last; ++exponent) {
      if (exponent % stride != 0) continue;
      for (int digit : {1, 2, 5}) {
        double value = Step{digit, exponent}.times(1);
        if ((digit == 1 || between) && value >= low_ * (1 - 1e-9) && value <= high_ * (1 + 1e-9))
          ticks.push_back({value, tick_label(value)});
      }
    }
    return ticks;
  };
  auto limit = static_cast<size_t>(most);
  if (high_ / low_ < 10) return linear_ticks(most);
  if (auto ticks = collect(true, 1); ticks.size() <= limit) return ticks;
  int stride = 1;
  while (collect(false, stride).size() > limit) ++stride;
  return collect(false, stride);
}

}  // namespace aviary
