// The page of a sweep, and its table.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>

#include "base/files.h"
#include "base/human.h"
#include "compare/csv.h"
#include "compare/html.h"
#include "compare/sweep.h"

namespace aviary {
namespace {

std::string with_interval(const MeanOf& of, const char* sign = "") {
  if (!std::isfinite(of.mean)) return "–";
  const std::string mean = *sign ? fmt::format("{:+.4f}", of.mean) : fmt::format("{:.4f}", of.mean);
  return std::isfinite(of.half) ? fmt::format("{}<small>± {:.4f}, {} seeds</small>", mean, of.half, of.count)
                                : mean + "<small>one seed</small>";
}

// Zero is outside the interval.
bool is_sure(const MeanOf& difference) {
  return std::isfinite(difference.half) && std::abs(difference.mean) > difference.half;
}

bool has(const Sweep& sweep, double SweepResult::*figure) {
  return std::any_of(sweep.variants.begin(), sweep.variants.end(),
                     [&](const SweepVariant& variant) { return mean_of(variant, figure).count > 0; });
}

std::string name_of(const SweepVariant& variant) { return variant.name.empty() ? "(as all)" : variant.name; }

class SweepPage {
 public:
  explicit SweepPage(const Sweep& sweep) : sweep_(sweep) {}

  std::string draw() {
    add("{}<p class=\"quiet\">{}{}. Intervals hold 95 % by Student's t over the seeds; a difference is "
        "paired: the same "
        "seed gives the same first weights and the same batches.</p>\n",
        page_head("Settings compared"), html(sweep_.text),
        sweep_.flags.empty() ? "" : "; for all: " + html(sweep_.flags));
    add("<div class=\"card\"><table>\n<thead><tr><th>settings</th>");
    for (const Figure& figure : shown())
      add("<th>{}<small>bits per byte</small></th><th>difference<small>to the first line</small></th>",
          figure.title);
    add("<th>training loss<small>nats per token</small></th><th>step<small>seconds</small></th><th>tokens"
        "<small>read</small></th><th>parameters</th></tr></thead>\n<tbody>\n");
    for (const SweepVariant& variant : sweep_.variants) add_line(variant);
    add("</tbody>\n</table></div>\n{}", page_end());
    return std::move(body_);
  }

 private:
  struct Figure {
    const char* title;
    double SweepResult::*member;
  };

  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(body_), format, std::forward<Args>(args)...);
  }

  std::vector<Figure> shown() const {
    std::vector<Figure> result;
    for (const Figure& figure : {Figure{"validation", &SweepResult::validation},
                                 Figure{"average of weights", &SweepResult::validation_of_average},
                                 Figure{"test", &SweepResult::test}})
      if (has(sweep_, figure.member)) result.push_back(figure);
    return result;
  }

  bool is_best(const SweepVariant& variant, double SweepResult::*figure) const {
    const double mean = mean_of(variant, figure).mean;
    return std::isfinite(mean) &&
           std::none_of(sweep_.variants.begin(), sweep_.variants.end(),
                        [&](const SweepVariant& other) { return mean_of(other, figure).mean < mean; });
  }

  void add_line(const SweepVariant& variant) {
    add("<tr><td>{}</td>", html(name_of(variant)));
    for (const Figure& figure : shown()) {
      const MeanOf difference = difference_of(variant, sweep_.variants[0], figure.member);
      const bool base = &variant == sweep_.variants.data();
      add("<td{}>{}</td><td{}>{}</td>", is_best(variant, figure.member) ? " class=\"best\"" : "",
          with_interval(mean_of(variant, figure.member)),
          !base && is_sure(difference) ? " class=\"best\"" : "", base ? "" : with_interval(difference, "+"));
    }
    const auto some = std::find_if(variant.results.begin(), variant.results.end(),
                                   [](const auto& result) { return result.has_value(); });
    const bool any = some != variant.results.end();
    const MeanOf loss = mean_of(variant, &SweepResult::training_loss),
                 seconds = mean_of(variant, &SweepResult::seconds_per_step);
    add("<td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", any ? fmt::format("{:.4f}", loss.mean) : "–",
        any ? fmt::format("{:.3f}", seconds.mean) : "–",
        any ? with_commas((*some)->steps * (*some)->tokens_per_step) : "–",
        any ? with_commas((*some)->parameters) : "–");
  }

  const Sweep& sweep_;
  std::string body_;
};

std::string in_csv(const std::string& text) {
  std::string quoted = "\"";
  for (char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

std::string in_csv(double number) { return std::isfinite(number) ? fmt::format("{}", number) : ""; }

}  // namespace

std::string sweep_page(const Sweep& sweep) { return SweepPage(sweep).draw(); }

std::string sweep_table(const Sweep& sweep) {
  std::string csv =
      "settings,seed,validation_bits_per_byte,average_bits_per_byte,test_bits_per_byte,training_loss,seconds_"
      "per_step,"
      "steps,tokens_per_step,parameters\n";
  for (const SweepVariant& variant : sweep.variants)
    for (size_t i = 0; i < variant.results.size(); ++i) {
      if (!variant.results[i]) continue;
      const SweepResult& result = *variant.results[i];
      csv += fmt::format("{},{},{},{},{},{},{},{},{},{}\n", in_csv(variant.name), sweep.seeds[i],
                         in_csv(result.validation), in_csv(result.validation_of_average), in_csv(result.test),
                         in_csv(result.training_loss), in_csv(result.seconds_per_step), result.steps,
                         result.tokens_per_step, result.parameters);
    }
  return csv;
}

namespace {

constexpr int64_t largest_sweep_table = 4 << 20;
constexpr size_t most_read_seeds = 256, most_read_variants = 1000;  // of a table from outside

template <typename Number>
Number cell_number(const std::string& cell, Number otherwise) {
  Number value = otherwise;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  return error == std::errc() && end == cell.data() + cell.size() ? value : otherwise;
}

SweepResult result_in(const CsvTable& table, size_t line) {
  auto figure = [&](const char* name) { return cell_number(table.at(line, name), not_measured); };
  auto count = [&](const char* name) { return cell_number<int64_t>(table.at(line, name), 0); };
  return {.validation = figure("validation_bits_per_byte"),
          .test = figure("test_bits_per_byte"),
          .validation_of_average = figure("average_bits_per_byte"),
          .training_loss = figure("training_loss"),
          .seconds_per_step = figure("seconds_per_step"),
          .steps = count("steps"),
          .tokens_per_step = count("tokens_per_step"),
          .parameters = count("parameters")};
}

}  // namespace

std::optional<Sweep> read_sweep(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "sweep.csv";
  std::error_code none;
  if (!std::filesystem::is_regular_file(path, none)) return {};
  const CsvTable table(read_file(path, largest_sweep_table));
  Sweep sweep;
  for (size_t line = 0; line < table.size(); ++line) {
    const std::string& name = table.at(line, "settings");
    const auto number = cell_number<uint64_t>(table.at(line, "seed"), 0);
    const auto seed = std::find(sweep.seeds.begin(), sweep.seeds.end(), number);
    const auto place = static_cast<size_t>(seed - sweep.seeds.begin());
    auto variant = std::find_if(sweep.variants.begin(), sweep.variants.end(),
                                [&](const SweepVariant& one) { return one.name == name; });
    if (place == most_read_seeds || variant - sweep.variants.begin() == most_read_variants) continue;
    if (seed == sweep.seeds.end()) sweep.seeds.push_back(number);
    if (variant == sweep.variants.end()) variant = sweep.variants.insert(variant, SweepVariant{.name = name});
    if (variant->results.size() <= place) variant->results.resize(place + 1);
    variant->results[place] = result_in(table, line);
  }
  for (SweepVariant& variant : sweep.variants) variant.results.resize(sweep.seeds.size());
  return sweep;
}

}  // namespace aviary
