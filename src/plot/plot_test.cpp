#include "plot/plot.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>

#include "base/error.h"
#include "base/random.h"

namespace aviary {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// The contents of the attribute `name` of every element `tag`, in order.
std::vector<std::string> attributes(const std::string& svg, const std::string& tag, const std::string& name) {
  std::vector<std::string> values;
  for (size_t at = 0; (at = svg.find("<" + tag + " ", at)) != std::string::npos; ++at) {
    std::string element = svg.substr(at, svg.find('>', at) - at);
    size_t begin = element.find(" " + name + "=\"");
    if (begin == std::string::npos) continue;
    begin += name.size() + 3;
    values.push_back(element.substr(begin, element.find('"', begin) - begin));
  }
  return values;
}

// The path data of the curves: what is drawn after the base line.
std::vector<std::string> curves(const std::string& svg) {
  return attributes(svg.substr(svg.find("class=\"base\"")), "path", "d");
}

// The first violation of XML syntax; "" if there is none.
std::string xml_error(const std::string& xml) {
  std::vector<std::string> open;
  for (size_t at = 0; at < xml.size();) {
    char c = xml[at];
    if (c == '&') {
      size_t end = xml.find(';', at);
      std::string entity = xml.substr(at, end - at + 1);
      if (entity != "&amp;" && entity != "&lt;" && entity != "&gt;" && entity != "&quot;")
        return "entity " + entity;
    }
    if (static_cast<unsigned char>(c) < 32 && c != '\n' && c != '\t') return "control character";
    if (c != '<') {
      if (c == '>') return "a stray >";
      ++at;
      continue;
    }
    size_t end = xml.find('>', at);
    if (end == std::string::npos) return "an open tag";
    std::string tag = xml.substr(at + 1, end - at - 1);
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0 || tag.find('<') != std::string::npos)
      return "tag " + tag;
    if (tag[0] == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return "closing " + tag;
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
    at = end + 1;
  }
  return open.empty() ? "" : "unclosed " + open.back();
}

TEST(Plot, DrawsEveryPointWhereItBelongs) {
  std::vector<Series> series = {{.name = "a", .x = {0, 5, 10}, .y = {1, 2, 1}}};
  std::string svg = line_plot("title", "x", "y", series);
  EXPECT_EQ(xml_error(svg), "");
  auto x = attributes(svg, "circle", "cx"), y = attributes(svg, "circle", "cy");
  ASSERT_EQ(x.size(), 3u);
  EXPECT_NEAR(std::stod(x[1]), (std::stod(x[0]) + std::stod(x[2])) / 2, 0.11);
  EXPECT_EQ(x[2], "772.0");
  EXPECT_EQ(y[0], y[2]);
  EXPECT_LT(std::stod(y[1]), std::stod(y[0]));  // larger values are drawn higher
  EXPECT_EQ(curves(svg)[0], "M" + x[0] + " " + y[0] + "L" + x[1] + " " + y[1] + "L" + x[2] + " " + y[2]);
}

TEST(Plot, TheLegendIsAboveTheCurves) {
  std::vector<Series> series;
  for (int i = 0; i < 40; ++i)
    series.push_back(
        {.name = "a rather long name of series " + std::to_string(i), .x = {0, 1}, .y = {0, 1.0 * i}});
  std::string svg = line_plot("t", "x", "y", series, {.width = 300, .height = 200});
  EXPECT_EQ(xml_error(svg), "");
  double lowest_name = 0, highest_point = 1e9;
  for (size_t at = 0; (at = svg.find("<text class=\"name\"", at)) != std::string::npos; ++at)
    lowest_name = std::max(lowest_name, std::stod(attributes(svg.substr(at), "text", "y")[0]));
  for (const std::string& y : attributes(svg, "circle", "cy"))
    highest_point = std::min(highest_point, std::stod(y));
  EXPECT_LT(lowest_name + 4, highest_point);
}

TEST(Plot, NamesAtTheEndsOfCurvesDoNotOverlap) {
  std::vector<Series> series;
  for (int i = 0; i < 12; ++i)
    series.push_back({.name = "curve " + std::to_string(i), .x = {0, 1}, .y = {0, 5 + 0.01 * (i % 4)}});
  series.push_back({.name = "early", .x = {0, 0.3}, .y = {0, 5}});
  const std::string svg = line_plot("t", "x", "y", series, {.names_at_ends = true});
  EXPECT_EQ(xml_error(svg), "");
  EXPECT_EQ(svg.find("class=\"name\""), std::string::npos);  // there is no legend
  std::vector<double> heights;
  for (size_t at = 0; (at = svg.find("<text class=\"end", at)) != std::string::npos; ++at) {
    const std::string name = svg.substr(at, svg.find("</text>", at) - at);
    if (name.ends_with("early")) {
      EXPECT_LT(std::stod(attributes(name + ">", "text", "x")[0]), 400);
      continue;
    }
    heights.push_back(std::stod(attributes(name + ">", "text", "y")[0]));
    EXPECT_GT(std::stod(attributes(name + ">", "text", "x")[0]), 600);
  }
  ASSERT_EQ(heights.size(), 12u);
  std::sort(heights.begin(), heights.end());
  for (size_t i = 1; i < heights.size(); ++i) EXPECT_GE(heights[i] - heights[i - 1], 15.8);
  EXPECT_GT(heights.front(), 30);
  EXPECT_LT(heights.back(), 450);
}

TEST(Plot, CurvesAreCutOffAboveTheRequestedMaximum) {
  const std::vector<Series> series = {{.x = {0, 1, 2, 3}, .y = {100, 3, 2, 1}}};
  const std::string svg = line_plot("", "", "y", series, {.most_y = 3});
  EXPECT_EQ(xml_error(svg), "");
  const std::string inner = svg.substr(svg.find("<svg", 10));
  const double top = std::stod(attributes(inner, "svg", "y")[0]);
  const auto y = attributes(svg, "circle", "cy");
  EXPECT_LT(std::stod(y[0]), top);
  EXPECT_GT(std::stod(y[1]), top);
  EXPECT_LT(std::stod(y[1]), top + 30);  // 3 is the top, apart from the margin
  // A requested maximum below all values is ignored.
  EXPECT_EQ(curves(line_plot("", "", "", series, {.most_y = 0.5})), curves(line_plot("", "", "", series)));
}

TEST(Plot, MarksAreAtTheirPositions) {
  const std::vector<Series> series = {{.x = {1, 10, 100}, .y = {1, 2, 3}}};
  const std::string svg = line_plot(
      "", "", "", series, {.log_x = true, .marks = {{10, "ten <"}, {1000, "outside"}, {-1, "none"}}});
  EXPECT_EQ(xml_error(svg), "");
  EXPECT_NE(svg.find("ten &lt;"), std::string::npos);
  EXPECT_EQ(svg.find("outside"), std::string::npos);
  EXPECT_EQ(svg.find("none</text>"), std::string::npos);
  EXPECT_NE(svg.find("class=\"mark\" d=\"M" + attributes(svg, "circle", "cx")[1]), std::string::npos);
}

TEST(Plot, GapsInterruptTheCurve) {
  std::vector<Series> series = {{.x = {0, 1, 2, 3, 4, nan, 6}, .y = {1, 2, nan, 3, INFINITY, 5, 6}}};
  std::string path = curves(line_plot("", "", "", series))[0];
  EXPECT_EQ(std::count(path.begin(), path.end(), 'M'), 3);
  EXPECT_EQ(std::count(path.begin(), path.end(), 'L'), 1);
  EXPECT_EQ(std::count(path.begin(), path.end(), 'h'), 2);  // isolated points are dots
  // Values that a logarithmic axis cannot show leave gaps too.
  series = {{.x = {1, 2, 3, 4}, .y = {1, 0, -1, 2}}};
  path = curves(line_plot("", "", "", series, {.log_y = true}))[0];
  EXPECT_EQ(std::count(path.begin(), path.end(), 'M'), 2);
}

TEST(Plot, ALongSeriesKeepsItsExtremesInFewPoints) {
  Random random(1);
  Series series{.name = "long"};
  for (int i = 0; i < 300000; ++i) {
    series.x.push_back(i);
    series.y.push_back(i >= 100000 && i < 120000 ? nan : random.normal());
  }
  series.y[77777] = 50;
  series.y[222222] = -50;
  for (bool log_x : {false, true}) {
    std::string svg = line_plot("", "", "", std::span(&series, 1), {.log_x = log_x});
    std::string path = curves(svg)[0];
    EXPECT_LE(std::count(path.begin(), path.end(), 'L') + std::count(path.begin(), path.end(), 'M'), 2000);
    EXPECT_GE(std::count(path.begin(), path.end(), 'L'), log_x ? 500 : 1000);
    EXPECT_EQ(std::count(path.begin(), path.end(), 'M'), 2);  // the gap
    // -50 and 50 are at the margins of 5 % at the ends of the frame, which spans 16 + 8 to 450 - 32.
    double height = (450 - 32) - (16 + 8 + 26), margin = height * 0.05 / 1.1;
    EXPECT_NE(path.find(fmt::format(" {:.1f}", 450 - 32 - margin)), std::string::npos);
    EXPECT_NE(path.find(fmt::format(" {:.1f}", 50 + margin)), std::string::npos);
    EXPECT_TRUE(attributes(svg, "circle", "cx").empty());
  }
  // x in any order
  std::reverse(series.x.begin(), series.x.begin() + 1000);
  std::string path = curves(line_plot("", "", "", std::span(&series, 1)))[0];
  EXPECT_LE(std::count(path.begin(), path.end(), 'L'), 2000);
}

TEST(Plot, TheSameDataGivesTheSameBytes) {
  std::vector<Series> series = {
      {.name = "a", .x = {1, 2, 3}, .y = {0.1, 0.2, 0.15}, .color = "#123456", .dashed = true}};
  std::string svg = line_plot("t", "x", "y", series);
  EXPECT_EQ(svg, line_plot("t", "x", "y", series));
  EXPECT_NE(svg.find("style=\"color:#123456\""), std::string::npos);
  EXPECT_NE(svg.find("stroke-dasharray"), std::string::npos);
  EXPECT_NE(svg.find("prefers-color-scheme:dark"), std::string::npos);
}

TEST(Plot, AnyTextIsShownAndTheFileStaysValid) {
  std::vector<Series> series = {{.name = "</svg><script>&\"'\x01\xff", .x = {1}, .y = {1}}};
  std::string svg = line_plot("5 < 6 & \"7\"", "\xE4\xBD", "\xEF\xBF\xBF世界", series);
  EXPECT_EQ(xml_error(svg), "");
  EXPECT_NE(svg.find("<title>5 &lt; 6 &amp; &quot;7&quot;</title>"), std::string::npos);
  EXPECT_NE(svg.find("&lt;/svg&gt;&lt;script&gt;&amp;&quot;'\uFFFD\uFFFD<"), std::string::npos);
  EXPECT_NE(svg.find("\uFFFD世界"), std::string::npos);
  svg = line_plot(std::string(10000, 'W'), "", "", series);
  EXPECT_NE(svg.find("WWW…</text>"), std::string::npos);
}

TEST(Plot, NoPointsOnePointAndEqualValuesAreDrawn) {
  std::string empty = line_plot("t", "x", "y", {});
  EXPECT_EQ(xml_error(empty), "");
  EXPECT_NE(empty.find("nothing to draw"), std::string::npos);
  std::vector<Series> bad = {{.x = {nan, 1}, .y = {1, nan}}};
  EXPECT_NE(line_plot("t", "x", "y", bad, {.log_x = true}).find("nothing to draw"), std::string::npos);
  for (double value : {0.0, 1.0, -3e99, 1e-99, 5e-324, 1.7e308})
    for (bool log : {false, true}) {
      std::vector<Series> series = {{.x = {1, 2}, .y = {value, value}}, {.x = {1}, .y = {value}}};
      std::string svg = line_plot("t", "x", "y", series, {.log_x = log, .log_y = log});
      EXPECT_EQ(xml_error(svg), "");
      EXPECT_EQ(svg.find("nan"), std::string::npos) << value;
      EXPECT_EQ(svg.find("inf"), std::string::npos) << value;
    }
}

TEST(Plot, InvalidArgumentsAreErrors) {
  auto error_of = [](const Series& series, const PlotOptions& options) -> std::string {
    try {
      line_plot("", "", "", std::span(&series, 1), options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(error_of({.name = "a", .x = {1, 2}, .y = {1}}, {}),
            "plot: the series \"a\" has 2 values of x and 1 of y, expected as many");
  EXPECT_NE(error_of({.name = "a", .color = "red\" onload=\"x"}, {}), "");
  EXPECT_EQ(error_of({}, {.width = 10}), "plot: width is 10 pixels, expected 200 to 10000");
}

}  // namespace
}  // namespace aviary
