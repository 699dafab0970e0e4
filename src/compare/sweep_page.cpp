// The page of a sweep, and its table.
#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/human.h"
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

}  // namespace aviary
