#include "plot/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "plot/plot_axis.h"

namespace aviary {
namespace {

constexpr int columns = 1000;  // of a long series, with two points each
constexpr size_t marker_limit = 40;
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

struct PaletteColor {
  const char* light;
  const char* dark;
};
constexpr std::array palette = {PaletteColor{"#2563eb", "#60a5fa"}, PaletteColor{"#ea580c", "#fb923c"},
                                PaletteColor{"#059669", "#34d399"}, PaletteColor{"#9333ea", "#c084fc"},
                                PaletteColor{"#db2777", "#f472b6"}, PaletteColor{"#0891b2", "#22d3ee"},
                                PaletteColor{"#a16207", "#facc15"}, PaletteColor{"#475569", "#94a3b8"}};

struct Point {
  double x = nan, y = nan;
  bool drawable() const { return !std::isnan(y); }
};

// The points in pixels; y is NaN where nothing is drawn.
using Curve = std::vector<Point>;

bool usable(double value, bool logarithmic) {
  return std::abs(value) <= 1e100 && (!logarithmic || value >= 1e-100);
}

// --- Texts

std::string clean(std::string_view text) {
  Utf8Stream stream;
  std::string valid = stream.push(text);
  return valid + stream.flush();
}

std::vector<std::string_view> characters_of(std::string_view text) {
  std::vector<std::string_view> characters;
  for (size_t at = 0; at < text.size();) {
    auto length = static_cast<size_t>(utf8_step(text.substr(at)).length);
    characters.push_back(text.substr(at, length));
    at += length;
  }
  return characters;
}

// An estimate without font metrics: Latin letters are a little wider than half their height, other characters
// are square.
double width_of(std::string_view character, double font_size) {
  return font_size * (character.size() < 3 ? 0.56 : 1.0);
}
double text_width(std::string_view text, double font_size) {
  double width = 0;
  for (std::string_view character : characters_of(text)) width += width_of(character, font_size);
  return width;
}

std::string fit(std::string_view text, double font_size, double room) {
  std::string whole = clean(text);
  if (text_width(whole, font_size) <= room) return whole;
  std::string part;
  double width = font_size;  // of the dots
  for (std::string_view character : characters_of(whole)) {
    width += width_of(character, font_size);
    if (width > room) break;
    part += character;
  }
  return part + "…";
}

// For element contents and attributes; characters that XML does not allow become U+FFFD.
std::string escaped(std::string_view valid_utf8) {
  std::string out;
  for (std::string_view character : characters_of(valid_utf8)) {
    auto first = static_cast<unsigned char>(character[0]);
    if (character == "&")
      out += "&amp;";
    else if (character == "<")
      out += "&lt;";
    else if (character == ">")
      out += "&gt;";
    else if (character == "\"")
      out += "&quot;";
    else if (first < 32 && character != "\t" && character != "\n" && character != "\r")
      out += "\uFFFD";
    else if (character == "\xEF\xBF\xBE" || character == "\xEF\xBF\xBF")
      out += "\uFFFD";
    else
      out += character;
  }
  return out;
}

bool is_color(std::string_view color) {
  return color.size() <= 64 && std::all_of(color.begin(), color.end(), [](unsigned char c) {
           return std::isalnum(c) ||
                  std::string_view("#(),.% -").find(static_cast<char>(c)) != std::string_view::npos;
         });
}

// --- Curves

// The lowest and the highest point of every column, in the order of the points. If x increases, columns are
// pixel columns, otherwise equal shares of the points.
Curve thinned(const Curve& curve, double left, double width) {
  if (curve.size() <= 2 * columns) return curve;
  double last = left - width;
  bool growing = std::all_of(curve.begin(), curve.end(), [&last](const Point& p) {
    return std::isnan(p.x) || std::exchange(last, p.x) <= p.x;
  });
  int column = 0;
  auto column_of = [&](size_t i) {
    double share =
        growing ? (curve[i].x - left) / width : static_cast<double>(i) / static_cast<double>(curve.size());
    if (!std::isnan(share)) column = static_cast<int>(std::clamp(share, 0.0, 0.9999) * columns);
    return column;
  };
  Curve thin;
  for (size_t begin = 0, end; begin < curve.size(); begin = end) {
    int here = column_of(begin);
    const Point *low = nullptr, *high = nullptr;
    for (end = begin; end < curve.size() && column_of(end) == here; ++end) {
      const Point& p = curve[end];
      if (!p.drawable()) continue;
      if (!low || p.y < low->y) low = &p;
      if (!high || p.y > high->y) high = &p;
    }
    thin.push_back(low ? *std::min(low, high) : Point{});
    if (low != high) thin.push_back(*std::max(low, high));
  }
  return thin;
}

std::string path_of(const Curve& curve) {
  std::string path;
  for (size_t i = 0; i < curve.size(); ++i) {
    if (!curve[i].drawable()) continue;
    bool starts = i == 0 || !curve[i - 1].drawable();
    bool ends = i + 1 == curve.size() || !curve[i + 1].drawable();
    fmt::format_to(std::back_inserter(path), "{}{:.1f} {:.1f}", starts ? 'M' : 'L', curve[i].x, curve[i].y);
    if (starts && ends) path += "h0";  // with round line caps, a line of zero length is a dot
  }
  return path;
}

// --- The picture

constexpr double edge = 16, title_size = 17, legend_size = 13, label_size = 12;
constexpr double name_distance = 12;  // from the end of a curve to its name
constexpr double name_height = 16;
constexpr double bold = 1.12;         // its width relative to that of normal text
constexpr double widest_name = 0.35;  // of the picture
constexpr const char* dashes = R"( stroke-dasharray="6 5")";

// A name next to the last point of its curve.
struct NameAtEnd {
  size_t series;
  Point end;
  double y;  // of the middle of the name
  double width;
  std::string text;
};

// Moves names up and down until none overlap, all between `top` and `bottom` if there is room.
void spread(std::vector<NameAtEnd>& names, double top, double bottom) {
  std::sort(names.begin(), names.end(), [](const NameAtEnd& a, const NameAtEnd& b) { return a.y < b.y; });
  auto side_by_side = [](const NameAtEnd& a, const NameAtEnd& b) {
    return a.end.x + a.width < b.end.x || b.end.x + b.width < a.end.x;
  };
  constexpr int rounds = 500;
  for (int round = 0; round < rounds; ++round) {
    bool moved = false;
    for (size_t i = 0; i < names.size(); ++i)
      for (size_t j = i + 1; j < names.size(); ++j) {
        const double missing = name_height - (names[j].y - names[i].y);
        if (missing <= 0.01 || side_by_side(names[i], names[j])) continue;
        names[i].y -= missing / 2;
        names[j].y += missing / 2;
        moved = true;
      }
    for (NameAtEnd& name : names) name.y = std::clamp(name.y, top, std::max(top, bottom));
    if (!moved) break;
  }
}

class Plot {
 public:
  Plot(std::span<const Series> series, const PlotOptions& options);
  std::string draw(std::string_view title, std::string_view x_label, std::string_view y_label);

 private:
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(body_), format, std::forward<Args>(args)...);
    body_ += '\n';
  }
  // class="…", and the color if the series has its own.
  std::string look(size_t index, std::string_view kind) const;
  std::string style() const;
  void add_legend();
  void add_grid();
  void add_marks();
  // False if no point of the series can be drawn.
  bool add_curve(size_t index);
  void add_names_at_ends();

  std::span<const Series> series_;
  PlotOptions options_;
  Axis x_axis_, y_axis_;
  double left_ = edge, right_, top_ = edge, bottom_;  // the frame, in pixels
  std::vector<NameAtEnd> names_;                      // of the curves that were drawn
  std::string body_;
};

Axis axis_of(std::span<const Series> series, const PlotOptions& options, bool horizontal) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const Series& s : series)
    for (size_t i = 0; i < s.x.size(); ++i) {
      if (!usable(s.x[i], options.log_x) || !usable(s.y[i], options.log_y)) continue;
      low = std::min(low, horizontal ? s.x[i] : s.y[i]);
      high = std::max(high, horizontal ? s.x[i] : s.y[i]);
    }
  bool logarithmic = horizontal ? options.log_x : options.log_y;
  if (low > high) low = 1, high = 10;  // nothing to draw
  if (!horizontal && options.most_y > low) high = std::min(high, options.most_y);
  return Axis(low, high, logarithmic, horizontal ? 0.0 : 0.05);
}

Plot::Plot(std::span<const Series> series, const PlotOptions& options)
    : series_(series),
      options_(options),
      x_axis_(axis_of(series, options, true)),
      y_axis_(axis_of(series, options, false)),
      right_(options.width - 28) {
  if (!options.names_at_ends) return;
  double widest = 0;
  for (const Series& s : series_) widest = std::max(widest, bold * text_width(clean(s.name), legend_size));
  right_ = options.width - edge - name_distance - std::min(widest, options.width * widest_name);
}

std::string Plot::look(size_t index, std::string_view kind) const {
  const std::string& color = series_[index].color;
  return fmt::format(R"(class="{} s{}"{})", kind, index % palette.size(),
                     color.empty() ? "" : fmt::format(R"( style="color:{}")", color));
}

std::string Plot::style() const {
  std::string light, dark;
  for (size_t i = 0; i < std::min(palette.size(), series_.size()); ++i) {
    light += fmt::format(".aviary-plot .s{}{{color:{}}}\n", i, palette[i].light);
    dark += fmt::format(".aviary-plot .s{}{{color:{}}}\n", i, palette[i].dark);
  }
  return fmt::format(R"(<style>
.aviary-plot text{{font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-size:{0}px;fill:#4b5563}}
.aviary-plot .title{{font-size:{1}px;font-weight:600;fill:#111827}}
.aviary-plot .name{{font-size:{2}px;fill:#1f2937}}
.aviary-plot .back{{fill:#ffffff}}
.aviary-plot .grid{{stroke:#e5e7eb}}
.aviary-plot .base{{stroke:#9ca3af}}
.aviary-plot .line{{fill:none;stroke:currentColor;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}}
.aviary-plot .dense{{stroke-width:1}}
.aviary-plot .dot{{fill:currentColor}}
.aviary-plot .end{{font-size:{2}px;font-weight:600;fill:currentColor;stroke:#ffffff;stroke-width:3;paint-order:stroke}}
.aviary-plot .lead{{fill:none;stroke:currentColor;stroke-width:1;opacity:0.5}}
.aviary-plot .mark{{stroke:#9ca3af;stroke-dasharray:3 4}}
{3}@media (prefers-color-scheme:dark){{
.aviary-plot text{{fill:#9ca3af}}
.aviary-plot .title{{fill:#f3f4f6}}
.aviary-plot .name{{fill:#d1d5db}}
.aviary-plot .back{{fill:#111827}}
.aviary-plot .grid{{stroke:#273244}}
.aviary-plot .base{{stroke:#6b7280}}
.aviary-plot .end{{fill:currentColor;stroke:#111827}}
{4}}}
</style>
)",
                     label_size, title_size, legend_size, light, dark);
}

// The legend above the frame, in as many rows as needed.
void Plot::add_legend() {
  if (std::all_of(series_.begin(), series_.end(), [](const Series& s) { return s.name.empty(); })) return;
  double x = edge, y = top_ + 12;
  for (size_t i = 0; i < series_.size(); ++i) {
    std::string name = fit(series_[i].name, legend_size, right_ - edge - 30);
    double width = 30 + text_width(name, legend_size);
    if (x > edge && x + width > right_) x = edge, y += 21;
    add(R"(<path {}{} d="M{:.1f} {:.1f}h20"/>)", look(i, "line"), series_[i].dashed ? dashes : "", x,
        y - 4.5);
    add(R"(<text class="name" x="{:.1f}" y="{:.1f}">{}</text>)", x + 27, y, escaped(name));
    x += width + 18;
  }
  top_ = y + 14;
}

void Plot::add_grid() {
  auto y_ticks = y_axis_.ticks(std::max(3, static_cast<int>((bottom_ - top_) / 36)));
  double widest = 0;
  for (const Tick& tick : y_ticks) widest = std::max(widest, text_width(tick.label, label_size));
  left_ = edge + widest + 8;
  for (const Tick& tick : y_ticks) {
    double y = bottom_ - y_axis_.position(tick.value) * (bottom_ - top_);
    add(R"(<path class="grid" d="M{:.1f} {:.1f}H{:.1f}"/>)", left_, y, right_);
    add(R"(<text text-anchor="end" x="{:.1f}" y="{:.1f}">{}</text>)", left_ - 8, y + 4, tick.label);
  }
  for (const Tick& tick : x_axis_.ticks(std::max(3, static_cast<int>((right_ - left_) / 85)))) {
    double x = left_ + x_axis_.position(tick.value) * (right_ - left_);
    add(R"(<path class="grid" d="M{:.1f} {:.1f}V{:.1f}"/>)", x, top_, bottom_);
    add(R"(<text text-anchor="middle" x="{:.1f}" y="{:.1f}">{}</text>)", x, bottom_ + 18, tick.label);
  }
  add(R"(<path class="base" d="M{:.1f} {:.1f}H{:.1f}"/>)", left_, bottom_, right_);
}

void Plot::add_marks() {
  for (const Mark& mark : options_.marks) {
    if (!usable(mark.x, options_.log_x)) continue;
    const double share = x_axis_.position(mark.x), x = left_ + share * (right_ - left_);
    if (share < 0 || share > 1) continue;
    const bool leftward = share > 0.5;
    add(R"(<path class="mark" d="M{:.1f} {:.1f}V{:.1f}"/>)", x, top_, bottom_);
    add(R"(<text text-anchor="{}" x="{:.1f}" y="{:.1f}">{}</text>)", leftward ? "end" : "start",
        leftward ? x - 6 : x + 6, top_ + 12, escaped(clean(mark.text)));
  }
}

bool Plot::add_curve(size_t index) {
  const Series& series = series_[index];
  Curve curve(series.x.size());
  size_t drawn = 0;
  for (size_t i = 0; i < curve.size(); ++i) {
    if (!usable(series.x[i], options_.log_x)) continue;
    curve[i].x = left_ + x_axis_.position(series.x[i]) * (right_ - left_);
    if (!usable(series.y[i], options_.log_y)) continue;
    curve[i].y = bottom_ - y_axis_.position(series.y[i]) * (bottom_ - top_);
    ++drawn;
  }
  if (drawn == 0) return false;
  curve = thinned(curve, left_, right_ - left_);
  add(R"(<path {}{} d="{}"/>)", look(index, drawn > 400 ? "dense line" : "line"), series.dashed ? dashes : "",
      path_of(curve));
  for (const Point& p : curve)
    if (drawn <= marker_limit && p.drawable())
      add(R"(<circle {} cx="{:.1f}" cy="{:.1f}" r="3.2"/>)", look(index, "dot"), p.x, p.y);
  const auto last = std::find_if(curve.rbegin(), curve.rend(), [](const Point& p) { return p.drawable(); });
  std::string name = fit(series.name, legend_size, options_.width * widest_name / bold);
  const double width = name_distance + bold * text_width(name, legend_size);
  names_.push_back({index, *last, last->y, width, std::move(name)});
  return true;
}

void Plot::add_names_at_ends() {
  spread(names_, top_ + name_height / 2, bottom_ - name_height / 2);
  for (const NameAtEnd& name : names_) {
    if (name.text.empty()) continue;
    const double x = name.end.x + name_distance;
    add(R"(<circle {} cx="{:.1f}" cy="{:.1f}" r="3.2"/>)", look(name.series, "dot"), name.end.x, name.end.y);
    if (std::abs(name.y - name.end.y) > name_height / 4)
      add(R"(<path {} d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>)", look(name.series, "lead"), name.end.x, name.end.y,
          x - 2, name.y);
    add(R"(<text {} x="{:.1f}" y="{:.1f}">{}</text>)", look(name.series, "end"), x, name.y + 4.5,
        escaped(name.text));
  }
}

std::string Plot::draw(std::string_view title, std::string_view x_label, std::string_view y_label) {
  double room = right_ - edge;
  if (!title.empty()) {
    add(R"(<text class="title" x="{}" y="{:.1f}">{}</text>)", edge, top_ + 15,
        escaped(fit(title, title_size, room)));
    top_ += 30;
  }
  if (!options_.names_at_ends) add_legend();
  if (!y_label.empty()) {
    add(R"(<text x="{}" y="{:.1f}">{}</text>)", edge, top_ + 11, escaped(fit(y_label, label_size, room)));
    top_ += 20;
  }
  top_ += 8;
  double below = x_label.empty() ? 32 : 52;
  // A legend of many rows increases the height.
  double height = std::max<double>(options_.height, top_ + 80 + below);
  bottom_ = height - below;
  add_grid();
  if (!x_label.empty())
    add(R"(<text text-anchor="middle" x="{:.1f}" y="{:.1f}">{}</text>)", (left_ + right_) / 2, bottom_ + 39,
        escaped(fit(x_label, label_size, right_ - left_)));
  add_marks();
  const bool cut = std::isfinite(options_.most_y);  // a nested svg element clips the curves
  if (cut)
    add(R"(<svg y="{1:.1f}" width="{0}" height="{2:.1f}" viewBox="0 {1:.1f} {0} {2:.1f}">)", options_.width,
        top_, bottom_ - top_);
  bool anything = false;
  for (size_t i = 0; i < series_.size(); ++i) anything |= add_curve(i);
  if (cut) add("</svg>");
  if (options_.names_at_ends) add_names_at_ends();
  if (!anything)
    add(R"(<text text-anchor="middle" x="{:.1f}" y="{:.1f}">nothing to draw</text>)", (left_ + right_) / 2,
        (top_ + bottom_) / 2);

  return fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" class="aviary-plot" role="img" width="{0}" height="{1:.0f}" )"
      R"(viewBox="0 0 {0} {1:.0f}">)"
      "\n<title>{2}</title>\n{3}<rect class=\"back\" width=\"100%\" height=\"100%\" rx=\"8\"/>\n{4}</svg>\n",
      options_.width, height, escaped(clean(title)), style(), body_);
}

}  // namespace

std::string line_plot(std::string_view title, std::string_view x_label, std::string_view y_label,
                      std::span<const Series> series, const PlotOptions& options) {
  for (auto [name, pixels] : {std::pair("width", options.width), std::pair("height", options.height)})
    require(pixels >= 200 && pixels <= 10000, "plot: {} is {} pixels, expected 200 to 10000", name, pixels);
  for (const Series& s : series) {
    require(s.x.size() == s.y.size(),
            "plot: the series \"{}\" has {} values of x and {} of y, expected as many", s.name, s.x.size(),
            s.y.size());
    require(is_color(s.color),
            "plot: the color of the series \"{}\" is \"{}\", expected a CSS color such as #2563eb", s.name,
            s.color);
  }
  return Plot(series, options).draw(title, x_label, y_label);
}

}  // namespace aviary
