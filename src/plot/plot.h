// Line plots as SVG text: one file without scripts, which follows the light or dark theme of the browser.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace aviary {

struct Series {
  std::string name = {};
  std::vector<double> x = {}, y = {};  // of equal size; a NaN or infinity leaves a gap
  std::string color = {};              // a CSS color for both themes; empty: the next one of the palette
  bool dashed = false;
};

// A dashed vertical line with a short label at its top.
struct Mark {
  double x = 0;
  std::string text = {};
};

struct PlotOptions {
  bool log_x = false, log_y = false;  // values of 0 or less then leave gaps
  int width = 800, height = 450;      // pixels, 200 to 10000
  bool names_at_ends = false;         // names at the ends of the curves instead of a legend
  // The upper end of the y axis, if it is above the lowest value: curves are cut off there.
  double most_y = std::numeric_limits<double>::infinity();
  std::vector<Mark> marks = {};
};

// A curve for each series, with grid, axes, and a legend above them if any series has a name. Of a long
// series only the lowest and the highest point of each pixel column are drawn, at most 2000 points in all.
// Series of at most 40 points get a marker at each point. The same arguments give the same bytes. Texts may
// contain any bytes; invalid UTF-8 becomes U+FFFD, and long texts are cut off with "…". Throws Error if x and
// y differ in length, a color is not a CSS color, or the size is out of range.
std::string line_plot(std::string_view title, std::string_view x_label, std::string_view y_label,
                      std::span<const Series> series, const PlotOptions& options = {});

}  // namespace aviary
