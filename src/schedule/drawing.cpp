#include "schedule/drawing.h"

#include <filesystem>

#include "plot/plot.h"

namespace aviary {
namespace {

constexpr size_t most_points = 300;
constexpr const char* colors[] = {"#2563eb", "#ea580c", "#059669", "#9333ea", "#db2777",
                                  "#0891b2", "#a16207", "#475569", "#dc2626"};

std::string short_name(const std::string& name) {
  const std::filesystem::path path(name);
  return path.has_stem() ? path.stem().string() : name;
}

Series series_of(const RateCurve& rates, std::string name, bool dashed) {
  Series series{.name = std::move(name), .dashed = dashed};
  for (const RatePoint& point : rates.points()) {
    series.x.push_back(point.step);
    series.y.push_back(point.rate);
  }
  return series;
}

}  // namespace

std::string draw_losses(std::span<const LossCurve> curves, const MultiPowerLaw& law,
                        const RelaxationLaw& relaxation, double from_step) {
  std::vector<Series> series;
  auto add = [&](std::string name, const std::vector<double>& x, const std::vector<double>& y,
                 const char* color, bool dashed) {
    series.push_back({.name = std::move(name), .x = x, .y = y, .color = color, .dashed = dashed});
  };
  bool first = true;
  for (size_t i = 0; i < curves.size(); ++i) {
    std::vector<double> steps, losses;
    for (const LossPoint& point : curves[i].thinned(first_used(curves[i], from_step), most_points)) {
      steps.push_back(point.step);
      losses.push_back(point.loss);
    }
    const char* color = colors[i % std::size(colors)];
    add(short_name(curves[i].name), steps, losses, color, false);
    add(first ? "multi-power law" : "", steps, law.losses(curves[i].rates, steps), color, true);
    add(first ? "relaxation law" : "", steps, relaxation.losses(curves[i].rates, steps), "#94a3b8", true);
    first = false;
  }
  return line_plot("Loss, measured and by the laws", "step", "loss, nats per token", series);
}

std::string draw_rates(std::span<const LossCurve> curves, const RateCurve& proposed, const RateCurve& best) {
  std::vector<Series> series;
  for (const LossCurve& curve : curves)
    series.push_back(series_of(curve.rates, short_name(curve.name), false));
  series.push_back(series_of(proposed, "proposed", true));
  series.push_back(series_of(best, "best by the relaxation law", true));
  return line_plot("Learning rates", "step", "learning rate", series);
}

}  // namespace aviary
