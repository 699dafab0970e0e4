// Numbers of pictures and curves in JSON, which has no NaN and no infinity: they become null.
#pragma once

#include <cmath>
#include <nlohmann/json.hpp>

namespace aviary {

inline nlohmann::ordered_json finite_or_null(double x) {
  return std::isfinite(x) ? nlohmann::ordered_json(x) : nlohmann::ordered_json();
}

// Five digits are enough for a picture.
inline nlohmann::ordered_json rounded(double x) {
  if (!std::isfinite(x)) return {};
  if (x == 0) return 0;
  const double scale = std::pow(10.0, 4 - std::floor(std::log10(std::abs(x))));
  return std::isfinite(scale) ? nlohmann::ordered_json(std::round(x * scale) / scale)
                              : nlohmann::ordered_json(x);
}

}  // namespace aviary
