// The figures of a comparison.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/human.h"
#include "compare/positions.h"
#include "compare/results.h"
#include "plot/plot.h"

namespace aviary {
namespace {

constexpr int64_t training_points = 60;  // a curve has the means over this many parts of the run
constexpr PlotOptions large{.width = 1000, .height = 520}, small{.width = 620, .height = 440};

// Colors that are readable on white and on black.
const std::map<std::string, std::string>& version_colors() {
  static const std::map<std::string, std::string> colors = {
      {"mha_rotary", "#7c8594"}, {"mha_rotary_shift", "#22a04b"},
      {"mha_pro", "#3b7df0"},    {"rwkv1", "#e5383b"},
      {"rwkv2", "#ef7d1a"},      {"rwkv3", "#a0653a"},
      {"rwkv4", "#b8930f"},      {"rwkv4a", "#6f8f1e"},
      {"rwkv5.0", "#f28aa8"},    {"rwkv5.1", "#d96bb8"},
      {"rwkv5.2", "#e0479e"},    {"rwkv6", "#9a5be8"},
      {"rwkv7", "#0fa3b8"},      {"aft", "#4a5568"},
  };
  return colors;
}
constexpr const char* spare_colors[] = {"#5b6ee0", "#c2703d", "#2f9e8f", "#8a6fb0",
                                        "#a84f6b", "#5f8fb0", "#8f8f3f", "#b04fd0"};

std::vector<Series> curves_of(const ComparisonResult& result) {
  const std::vector<std::string> colors = colors_of(result.members);
  std::vector<Series> curves;
  std::set<std::string> versions;
  for (size_t i = 0; i < result.members.size(); ++i) {
    const MemberResult& member = result.members[i];
    curves.push_back({.name = member.member.name, .color = colors[i]});
    // The second member of the same version is drawn with dashes.
    curves.back().dashed = !versions.insert(member.version().name).second;
  }
  return curves;
}

struct TimeUnit {
  const char* name;
  double seconds;
};
TimeUnit unit_of(double seconds) {
  if (seconds < 180) return {"seconds", 1};
  return seconds < 3 * 3600 ? TimeUnit{"minutes", 60} : TimeUnit{"hours", 3600};
}

// The training loss as means over parts of the run. x is the number of tokens in the middle of each part or,
// if unit > 0, the time.
void add_training_loss(const MemberResult& member, int64_t steps, double unit, Series& curve) {
  const int64_t part = std::max<int64_t>(1, steps / training_points);
  double loss = 0, place = 0, seconds = 0;
  int64_t count = 0;
  for (const StepReport& report : member.log) {
    const double before = seconds;
    seconds += report.seconds;
    if (std::isfinite(report.loss)) {
      loss += report.loss;
      place += unit > 0 ? (before + seconds) / 2 / unit
                        : (static_cast<double>(report.step) - 0.5) *
                              static_cast<double>(member.config.tokens_per_step());
      ++count;
    }
    if (report.step % part != 0 && &report != &member.log.back()) continue;
    if (count > 0) {
      curve.x.push_back(place / static_cast<double>(count));
      curve.y.push_back(loss / static_cast<double>(count));
    }
    loss = place = 0;
    count = 0;
  }
}

// The first part of the run is cut off at the top, so that the later differences are visible.
double most_worth_seeing(const std::vector<Series>& curves) {
  double most = 0;
  for (const Series& curve : curves)
    if (curve.y.size() > 10) most = std::max(most, curve.y[curve.y.size() / 12]);
  return most > 0 ? most : INFINITY;
}

std::string training_figure(const ComparisonResult& result, bool by_time) {
  std::vector<Series> curves = curves_of(result);
  double longest = 0;
  for (const MemberResult& member : result.members) longest = std::max(longest, member.seconds());
  const TimeUnit unit = unit_of(longest);
  for (size_t i = 0; i < curves.size(); ++i)
    add_training_loss(result.members[i], result.steps, by_time ? unit.seconds : 0, curves[i]);
  PlotOptions options = large;
  options.names_at_ends = true;
  options.most_y = most_worth_seeing(curves);
  return line_plot(by_time ? "Loss against time" : "Loss against tokens",
                   by_time ? fmt::format("{} of training", unit.name) : "tokens trained on",
                   "training loss, nats per token", curves, options);
}

}  // namespace

std::vector<std::string> colors_of(const std::vector<MemberResult>& members) {
  std::vector<std::string> colors;
  size_t spare = 0;
  for (const MemberResult& member : members) {
    const auto own = version_colors().find(member.version().name);
    std::string color = own == version_colors().end() ? "" : own->second;
    if (color.empty() || std::find(colors.begin(), colors.end(), color) != colors.end())
      color = spare_colors[spare++ % std::size(spare_colors)];
    colors.push_back(color);
  }
  return colors;
}

std::string tokens_figure(const ComparisonResult& result) { return training_figure(result, false); }
std::string time_figure(const ComparisonResult& result) { return training_figure(result, true); }

std::string validation_figure(const ComparisonResult& result) {
  std::vector<Series> curves = curves_of(result);
  for (size_t i = 0; i < curves.size(); ++i)
    for (const StepReport& report : result.members[i].log) {
      if (report.validation_bits_per_byte < 0) continue;
      curves[i].x.push_back(static_cast<double>(report.step * result.members[i].config.tokens_per_step()));
      curves[i].y.push_back(report.validation_bits_per_byte);
    }
  PlotOptions options = small;
  options.names_at_ends = true;
  return line_plot("Loss on the validation text", "tokens trained on", "bits per byte", curves, options);
}

std::string position_figure(const ComparisonResult& result) {
  std::vector<Series> curves = curves_of(result);
  for (size_t i = 0; i < curves.size(); ++i) {
    const auto& measures = result.members[i].measures;
    if (!measures) continue;
    for (const PositionBin& bin :
         bins_of({measures->windows, measures->loss_by_position}, result.shared.context)) {
      curves[i].x.push_back(bin.tokens);
      curves[i].y.push_back(bin.loss);
    }
  }
  PlotOptions options = small;
  options.names_at_ends = true;
  options.log_x = true;
  options.marks = {{static_cast<double>(result.shared.context), "trained length"}};
  return line_plot("Loss by position in the context", "tokens of context", "validation loss, nats per token",
                   curves, options);
}

}  // namespace aviary
