#include "schedule/loss_curve.h"

#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/quotes.h"

namespace aviary {
namespace {

constexpr size_t least_points = 20;
constexpr int64_t largest_log = int64_t{1} << 30;

struct Row {
  double step = 0, rate = 0, loss = 0;
};

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\"");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\"") + 1 - first);
}

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  for (size_t at = 0; at <= line.size();) {
    const size_t comma = std::min(line.find(',', at), line.size());
    fields.push_back(trimmed(line.substr(at, comma - at)));
    at = comma + 1;
  }
  return fields;
}

// The places of the columns step, lr and loss.
std::array<size_t, 3> columns_of(std::string_view header, const std::string& name) {
  constexpr std::array<std::string_view, 3> wanted{"step", "lr", "loss"};
  const std::vector<std::string_view> names = fields_of(header);
  std::array<size_t, 3> result{};
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto found = std::find(names.begin(), names.end(), wanted[i]);
    require(found != names.end(),
            "{}: is neither lines of JSON as log.jsonl of a run nor CSV whose first line names the columns "
            "step, lr and loss; the first line is {}",
            name, in_quotes(header));
    result[i] = static_cast<size_t>(found - names.begin());
  }
  return result;
}

double number_of(std::string_view field, const std::string& where) {
  double value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  require(error == std::errc() && end == field.data() + field.size() && std::isfinite(value),
          "{}: expected a number, got {}", where, in_quotes(field));
  return value;
}

Row csv_row(std::string_view line, const std::array<size_t, 3>& columns, const std::string& where) {
  const std::vector<std::string_view> fields = fields_of(line);
  auto number = [&](size_t column) {
    require(column < fields.size(), "{}: has {} fields, expected at least {}", where, fields.size(),
            column + 1);
    return number_of(fields[column], where);
  };
  return {number(columns[0]), number(columns[1]), number(columns[2])};
}

// Nothing for a line without a loss, such as one whose loss was not finite, and for one cut short by a kill.
std::optional<Row> json_row(std::string_view line, const std::string& where) {
  const nlohmann::json json = try_parse_json(line).value_or(nlohmann::json());
  if (!json.is_object() || !json.contains("loss")) return std::nullopt;
  auto number = [&](const char* key) {
    const nlohmann::json value = json.value(key, nlohmann::json());
    require(value.is_number(), "{}: \"{}\" is missing or no number", where, key);
    return value.get<double>();
  };
  return Row{number("step"), number("learning_rate"), number("loss")};
}

std::vector<Row> rows_of(std::string_view bytes, const std::string& name) {
  std::vector<Row> rows;
  std::optional<std::array<size_t, 3>> columns;
  const bool json = trimmed(bytes.substr(0, bytes.find('\n'))).starts_with('{');
  for (size_t at = 0, number = 1; at < bytes.size(); ++number) {
    const size_t end = std::min(bytes.find('\n', at), bytes.size());
    const std::string_view line = trimmed(bytes.substr(at, end - at));
    at = end + 1;
    if (line.empty()) continue;
    const std::string where = fmt::format("{}:{}", name, number);
    if (!json && !columns) {
      columns = columns_of(line, name);
      continue;
    }
    const std::optional<Row> row = json ? json_row(line, where) : csv_row(line, *columns, where);
    if (!row) continue;
    require(rows.empty() || row->step > rows.back().step, "{}: step {} follows step {}; steps must increase",
            where, row->step, rows.empty() ? 0 : rows.back().step);
    require(row->step >= 0 && row->rate >= 0 && row->loss > 0,
            "{}: step {}, learning rate {} and loss {}: expected no negative numbers and a positive loss",
            where, row->step, row->rate, row->loss);
    rows.push_back(*row);
  }
  return rows;
}

}  // namespace

std::vector<LossPoint> LossCurve::thinned(double from_step, size_t most) const {
  std::vector<LossPoint> used, result;
  for (const LossPoint& point : points)
    if (point.step >= from_step) used.push_back(point);
  const size_t parts = std::min(most, used.size());
  for (size_t part = 0; part < parts; ++part) {
    const size_t begin = part * used.size() / parts, end = (part + 1) * used.size() / parts;
    LossPoint mean;
    for (size_t i = begin; i < end; ++i) mean.step += used[i].step, mean.loss += used[i].loss;
    const auto count = static_cast<double>(end - begin);
    result.push_back({mean.step / count, mean.loss / count});
  }
  return result;
}

std::vector<LossPoint> LossCurve::smooth(double from_step) const {
  const auto count = static_cast<double>(points.size());
  const bool single_steps = points.back().step - points.front().step < 2 * count;
  return thinned(from_step, single_steps ? 200 : points.size());
}

LossCurve read_loss_curve(std::string_view bytes, const std::string& name) {
  LossCurve curve{.name = name, .points = {}, .rates = {}};
  std::vector<RatePoint> rates;
  for (const Row& row : rows_of(bytes, name)) {
    curve.points.push_back({row.step, row.loss});
    rates.push_back({row.step, row.rate});
  }
  require(curve.points.size() >= least_points, "{}: has {} points with a loss, at least {} are needed", name,
          curve.points.size(), least_points);
  try {
    curve.rates = RateCurve::through(rates);
  } catch (const Error& error) {
    fail("{}: {}", name, error.what());
  }
  return curve;
}

LossCurve load_loss_curve(const std::filesystem::path& path) {
  const std::filesystem::path file = std::filesystem::is_directory(path) ? path / "log.jsonl" : path;
  return read_loss_curve(read_file_or_pipe(file, largest_log), path.string());
}

}  // namespace aviary
