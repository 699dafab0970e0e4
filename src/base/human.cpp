#include "base/human.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

namespace aviary {

std::string with_commas(int64_t number) {
  std::string text = fmt::format("{}", number);
  size_t first = number < 0 ? 1 : 0;
  for (size_t at = text.size(); at > first + 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string human_bytes(int64_t bytes) {
  if (std::abs(static_cast<double>(bytes)) < 1000) return fmt::format("{} B", bytes);
  constexpr std::array units = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; std::abs(value) >= 999.5 && unit + 1 < units.size(); ++unit) value /= 1024;
  int decimals = std::abs(value) < 9.995 ? 2 : std::abs(value) < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}", value, decimals, units[unit]);
}

std::optional<int64_t> parse_bytes(std::string_view text) {
  constexpr std::string_view powers = " kmgt";
  constexpr double most = 0x1p60;
  double number = 0;
  const auto [last, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(number) || std::signbit(number)) return {};
  std::string unit(last, text.data() + text.size());
  unit.erase(0, unit.find_first_not_of(' '));
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return std::tolower(c); });
  if (unit.ends_with('b')) unit.pop_back();
  const bool binary = unit.size() == 2 && unit[1] == 'i';
  if (binary) unit.pop_back();
  const size_t power = unit.empty() ? 0 : powers.find(unit, 1);
  if (unit.size() > 1 || power == powers.npos) return {};
  number *= std::pow(binary ? 1024.0 : 1000.0, static_cast<double>(power));
  if (number > most) return {};
  return std::llround(number);
}

std::string human_duration(double seconds) {
  if (!(seconds >= 0 && seconds < 1e15)) return "unknown";
  if (seconds < 0.9995) return fmt::format("{:.0f} ms", seconds * 1000);
  if (seconds < 9.95) return fmt::format("{:.1f} s", seconds);
  int64_t whole = std::llround(seconds);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
  return fmt::format("{} d {} h", with_commas(whole / 86400), whole / 3600 % 24);
}

std::string human_rate(double per_second, std::string_view unit) {
  if (!(per_second >= 99.95 && per_second < 1e15)) return fmt::format("{:.3g} {}/s", per_second, unit);
  double step = std::pow(10.0, std::floor(std::log10(per_second)) - 2);
  return fmt::format("{} {}/s", with_commas(std::llround(std::round(per_second / step) * step)), unit);
}

}  // namespace aviary
