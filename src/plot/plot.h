// Line plots as SVG text: one file that a browser shows in its light or dark colors, without any script.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace aviary {

struct Series {
  std::string name = {};
  std::vector<double> x = {}, y = {};  // equally many; a NaN or infinity leaves a gap
  std::string color = {};              // a CSS color for both looks; empty: the next one of the palette
  bool dashed = false;
};

// A dashed vertical line with a few words at its top.
struct Mark {
  double x = 0;
  std::string text = {};
};

struct PlotOptions {
  bool log_x = false, log_y = false;  // values of 0 and below then leave gaps
  int width = 800, height = 450;      // pixels, 200 to 10000
  bool names_at_ends = false;         // the names stand at the ends of the curves, not in a legend
  // The highest value shown, when it is above the lowest: curves are cut off there.
  double most_y = std::numeric_limits<double>::infinity();
  std::vector<Mark> marks = {};
};

// A curve for each series, with grid, axes, and a legend above them when any series has a name. Of long
// series only so many points are drawn as a screen can show: the lowest and the highest of each pixel column,
// at most 2000 in all. Series of at most 40 points get a marker at each. The same arguments give the same
// bytes. Texts may hold anything; what is no UTF-8 becomes U+FFFD, what is too long ends with "…". Throws
// Error when x and y differ in length, a color is no CSS color, or the size is out of range.
std::string line_plot(std::string_view title, std::string_view x_label, std::string_view y_label,
                      std::span<const Series> series, const PlotOptions& options = {});

}  // namespace aviary
