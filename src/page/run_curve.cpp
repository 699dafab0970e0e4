#include "page/run_curve.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>
#include <tuple>

#include "base/json.h"

namespace aviary {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t longest_line = 1 << 16;
constexpr size_t most_lines = 20'000'000;
constexpr size_t compared = 64;
constexpr size_t recent = 50;  // steps
constexpr size_t most_norm_rows = 1024, most_norms = 40'000'000;

double number(const nlohmann::json& line, const char* name) {
  const auto found = line.find(name);
  return found != line.end() && found->is_number() ? found->get<double>() : nan;
}

std::vector<float> numbers(const nlohmann::json& line, const char* name) {
  std::vector<float> list;
  const auto found = line.find(name);
  if (found == line.end() || !found->is_array() || found->size() > most_norm_rows) return list;
  for (const nlohmann::json& one : *found)
    list.push_back(static_cast<float>(one.is_number() ? one.get<double>() : nan));
  return list;
}

// The part of the axis that is asked for, in as many places as there are points.
class AxisPlaces {
 public:
  AxisPlaces(const CurveQuery& query, std::pair<double, double> extent)
      : from_(query.to > query.from ? query.from : extent.first),
        to_(query.to > query.from ? query.to : extent.second),
        log_(query.log_axis),
        low_(scaled(from_)),
        width_(std::max(scaled(to_) - low_, 1e-12)),
        count_(static_cast<double>(std::max<int64_t>(query.points, 1))) {}

  // -1: x is outside.
  int64_t of(double x) const {
    if (x < from_ || x > to_) return -1;
    return static_cast<int64_t>(std::min((scaled(x) - low_) / width_ * count_, count_ - 1));
  }

 private:
  double scaled(double x) const { return log_ ? std::log(std::max(x, 1e-3)) : x; }

  double from_, to_;
  bool log_;
  double low_, width_, count_;
};

// Sums the steps of one point.
struct Bucket {
  double loss = 0, gradient_norm = 0, seconds = 0, tokens = 0;
  int64_t losses = 0, norms = 0;
  CurvePoint point{.least = std::numeric_limits<double>::infinity(),
                   .most = -std::numeric_limits<double>::infinity()};

  void add_loss(double value) {
    if (!std::isfinite(value)) return;
    loss += value, ++losses;
    point.least = std::min(point.least, value);
    point.most = std::max(point.most, value);
  }
  void add_norm(double value) {
    if (std::isfinite(value)) gradient_norm += value, ++norms;
  }
  CurvePoint result() const {
    CurvePoint done = point;
    done.loss = losses > 0 ? loss / static_cast<double>(losses) : nan;
    if (losses == 0) done.least = done.most = nan;
    done.gradient_norm = norms > 0 ? gradient_norm / static_cast<double>(norms) : nan;
    done.tokens_per_second = seconds > 0 && tokens > 0 ? tokens / seconds : nan;
    return done;
  }
};

}  // namespace

void RunCurve::forget() {
  const std::filesystem::path file = std::move(file_);
  *this = RunCurve(file);
}

double RunCurve::read_on(int64_t bytes) {
  std::error_code error;
  const bool regular = std::filesystem::is_regular_file(file_, error);
  const auto size = regular ? static_cast<int64_t>(std::filesystem::file_size(file_, error)) : 0;
  if (error || size < read_) forget();
  if (error || size == 0) return 1;
  std::ifstream file(file_, std::ios::binary);
  if (read_ > 0) {
    std::string now(before_.size(), '\0');
    file.seekg(read_ - std::ssize(before_));
    file.read(now.data(), std::ssize(now));
    if (now != before_) {
      forget();
      file.seekg(0);
      file.clear();
    }
  }
  std::string text(static_cast<size_t>(std::clamp<int64_t>(size - read_, 0, std::max(bytes, longest_line))),
                   '\0');
  file.read(text.data(), std::ssize(text));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  size_t begin = 0;
  for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    if (!skipping_) take(std::string_view(text).substr(begin, end - begin));
    skipping_ = false;
    begin = end + 1;
  }
  if (std::ssize(text) - static_cast<int64_t>(begin) >= longest_line) {
    if (!skipping_) ++broken_;
    skipping_ = true;
    begin = text.size();
  }
  if (begin > 0) {
    read_ += static_cast<int64_t>(begin);
    before_ = text.substr(begin - std::min(begin, compared), std::min(begin, compared));
  }
  const bool is_end = std::ssize(text) + read_ - static_cast<int64_t>(begin) >= size;
  return is_end ? 1 : static_cast<double>(read_) / static_cast<double>(size);
}

void RunCurve::take(std::string_view line) {
  if (line.empty()) return;
  const nlohmann::json json = static_cast<int64_t>(line.size()) < longest_line
                                  ? try_parse_json(line).value_or(nlohmann::json())
                                  : nlohmann::json();
  const double step = json.is_object() ? number(json, "step") : nan;
  if (!(step >= 0 && step < 1e15) || step_.size() >= most_lines) {
    ++broken_;
    return;
  }
  const double seconds = number(json, "seconds"), tokens = number(json, "tokens");
  const double time = time_.empty() ? 0 : time_.back();
  step_.push_back(static_cast<int64_t>(step));
  tokens_.push_back(tokens >= 0 ? tokens : tokens_.empty() ? 0 : tokens_.back());
  time_.push_back(seconds > 0 && seconds < 1e9 ? time + seconds : time);
  loss_.push_back(static_cast<float>(number(json, "loss")));
  learning_rate_.push_back(static_cast<float>(number(json, "learning_rate")));
  gradient_norm_.push_back(static_cast<float>(number(json, "gradient_norm")));
  seconds_.push_back(static_cast<float>(seconds));
  if (const double bits = number(json, "validation_bits_per_byte"); bits >= 0)
    validations_.emplace_back(step_.size() - 1, bits);
  take_norms(numbers(json, "layer_norms"));
}

// All lines of a log have as many as the first that has some.
void RunCurve::take_norms(const std::vector<float>& norms) {
  if (norms.empty()) return;
  if (norm_lines_.empty()) norm_rows_ = norms.size();
  if (norms.size() != norm_rows_ || norms_.size() + norm_rows_ > most_norms) return;
  norm_lines_.push_back(step_.size() - 1);
  norms_.insert(norms_.end(), norms.begin(), norms.end());
}

std::pair<double, double> RunCurve::extent(CurveAxis axis) const {
  std::pair<double, double> extent{x_of(0, axis), x_of(0, axis)};
  for (size_t i = 0; i < step_.size(); ++i) {
    extent.first = std::min(extent.first, x_of(i, axis));
    extent.second = std::max(extent.second, x_of(i, axis));
  }
  return extent;
}

double RunCurve::x_of(size_t i, CurveAxis axis) const {
  if (axis == CurveAxis::step) return static_cast<double>(step_[i]);
  return axis == CurveAxis::tokens ? tokens_[i] : time_[i];
}

Curve RunCurve::curve(const CurveQuery& query) const {
  Curve curve{.steps = std::ssize(step_), .broken = broken_};
  if (step_.empty()) return curve;
  curve.seconds = time_.back();
  curve.tokens = static_cast<int64_t>(std::clamp(tokens_.back(), 0.0, 9e18));
  curve.last_step = step_.back();
  curve.last_loss = loss_.back();
  const size_t since = step_.size() - std::min(step_.size(), recent + 1);
  if (time_.back() > time_[since])
    curve.recent_tokens_per_second = (tokens_.back() - tokens_[since]) / (time_.back() - time_[since]);
  std::tie(curve.first, curve.last) = extent(query.axis);
  for (const auto& [line, bits] : validations_)
    curve.validations.push_back({.step = step_[line], .x = x_of(line, query.axis), .bits_per_byte = bits});

  const AxisPlaces places(query, {curve.first, curve.last});
  const double keep = query.smooth > 0 ? std::exp(-1 / query.smooth) : 0;
  double sum = 0, weight = 0;  // of the smoothed loss: a mean whose weights fall with the distance
  int64_t place = -1;
  Bucket bucket;
  for (size_t i = 0; i < step_.size(); ++i) {
    if (std::isfinite(loss_[i])) sum = keep * sum + loss_[i], weight = keep * weight + 1;
    const double x = x_of(i, query.axis);
    const int64_t here = places.of(x);
    if (here < 0) continue;
    if (here != place && place >= 0) curve.points.push_back(bucket.result());
    if (here != place) bucket = {};
    place = here;
    bucket.add_loss(loss_[i]);
    bucket.add_norm(gradient_norm_[i]);
    if (i > 0 && tokens_[i] > tokens_[i - 1] && seconds_[i] > 0)
      bucket.tokens += tokens_[i] - tokens_[i - 1], bucket.seconds += seconds_[i];
    bucket.point.x = x;
    bucket.point.step = step_[i];
    bucket.point.smooth = weight > 0 ? sum / weight : nan;
    bucket.point.learning_rate = learning_rate_[i];
  }
  if (place >= 0) curve.points.push_back(bucket.result());
  return curve;
}

LayerNorms RunCurve::layer_norms(const CurveQuery& query) const {
  LayerNorms result{.rows = static_cast<int64_t>(norm_rows_)};
  if (norm_lines_.empty()) return result;
  const AxisPlaces places(query, extent(query.axis));
  int64_t place = -1;
  std::vector<int64_t> counts;  // of the last column
  auto end_column = [&] {
    for (size_t row = 0; row < counts.size(); ++row)
      *(result.norms.end() - std::ssize(counts) + static_cast<int64_t>(row)) /=
          static_cast<double>(counts[row]);
  };
  for (size_t line = 0; line < norm_lines_.size(); ++line) {
    const double x = x_of(norm_lines_[line], query.axis);
    const int64_t here = places.of(x);
    if (here < 0) continue;
    if (here != place) {
      end_column();
      counts.assign(norm_rows_, 0);
      result.norms.resize(result.norms.size() + norm_rows_);
      result.step.emplace_back();
      result.x.emplace_back();
    }
    place = here;
    result.step.back() = step_[norm_lines_[line]];
    result.x.back() = x;
    for (size_t row = 0; row < norm_rows_; ++row) {
      const float norm = norms_[line * norm_rows_ + row];
      if (!std::isfinite(norm)) continue;
      result.norms[result.norms.size() - norm_rows_ + row] += norm;
      ++counts[row];
    }
  }
  end_column();  // 0 / 0 is NaN
  return result;
}

}  // namespace aviary
