// aviary schedule: what the losses of runs say about learning rate schedules.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "cli/cli.h"
#include "cli/outputs.h"
#include "schedule/drawing.h"

namespace aviary::cli {
namespace {

using Json = nlohmann::ordered_json;

struct ScheduleFlags {
  std::vector<std::string> logs, tests;
  std::vector<int64_t> steps;
  int64_t skip = 0;
  std::string plot, plot_rates;
  bool json = false;
};

// Everything that is told.
struct Result {
  std::vector<LossCurve> fitted, tested;
  MultiPowerFit fit;
  RelaxationLaw relaxation;
  double from_step;
  struct Horizon {
    RunPlan plan;
    std::vector<Proposal> usual;
    Proposal best;
  };
  std::vector<Horizon> horizons;
};

std::vector<LossCurve> load_curves(const std::vector<std::string>& paths) {
  std::vector<LossCurve> curves;
  for (const std::string& path : paths) curves.push_back(load_loss_curve(path));
  return curves;
}

Result fit_all(const ScheduleFlags& flags) {
  std::vector<LossCurve> fitted = load_curves(flags.logs), tested = load_curves(flags.tests);
  const FitOptions options{.skip = static_cast<double>(flags.skip)};
  MultiPowerFit fit(fitted, options);
  Result result{.fitted = std::move(fitted),
                .tested = std::move(tested),
                .fit = std::move(fit),
                .relaxation = {},
                .from_step = options.skip,
                .horizons = {}};
  result.relaxation = fit_relaxation(result.fitted, options);
  std::vector<double> steps(flags.steps.begin(), flags.steps.end());
  if (steps.empty()) {
    double longest = 0;
    for (const LossCurve& curve : result.fitted) longest = std::max(longest, curve.rates.last_step());
    steps = {longest, 3 * longest};
  }
  for (const double each : steps) {
    const RunPlan plan = plan_within(result.fitted, each);
    result.horizons.push_back({plan, usual_proposals(result.fit, plan), best_proposal(result.fit, plan)});
  }
  return result;
}

Json to_json(const Prediction& loss) {
  return {{"loss", loss.value}, {"low", loss.low}, {"high", loss.high}};
}

Json to_json(const Proposal& proposal) {
  Json json{{"schedule", proposal.shape.kind}, {"cooldown", proposal.shape.cooldown}};
  json.update(to_json(proposal.loss));
  return json;
}

// The mean of the last losses, with the interval of the last one.
Prediction last_loss_of(const Result& result, const LossCurve& curve, const LawError& error) {
  const Prediction end = result.fit.predict(curve.rates, curve.points.back().step);
  const double scale = error.last_predicted / end.value;
  return {error.last_predicted, end.low * scale, end.high * scale};
}

Json to_json(const Result& result, const LossCurve& curve) {
  const double from = first_used(curve, result.from_step);
  const LawError error = error_of(result.fit.law(), curve, from);
  return {{"file", curve.name},
          {"points", error.points},
          {"mean_relative_error", error.mean},
          {"worst_relative_error", error.worst},
          {"relaxation_law_mean_relative_error", error_of(result.relaxation, curve, from).mean},
          {"last_loss", error.last_loss},
          {"predicted_last_loss", to_json(last_loss_of(result, curve, error))}};
}

// Of the files that were not fitted.
double mean_error(const Result& result) {
  double sum = 0;
  for (const LossCurve& curve : result.tested)
    sum += error_of(result.fit.law(), curve, first_used(curve, result.from_step)).mean;
  return sum / static_cast<double>(std::max<size_t>(1, result.tested.size()));
}

void print_fit_json(const Result& result) {
  const MultiPowerLaw& law = result.fit.law();
  const RelaxationLaw& relaxation = result.relaxation;
  Json json{{"multi_power_law",
             {{"floor", law.floor},
              {"A", law.A},
              {"alpha", law.alpha},
              {"B", law.B},
              {"C", law.C},
              {"beta", law.beta},
              {"gamma", law.gamma}}},
            {"relaxation_law",
             {{"floor", relaxation.floor},
              {"alpha", relaxation.alpha},
              {"beta", relaxation.beta},
              {"start", relaxation.start}}}};
  for (const char* key : {"fitted", "tested", "horizons"}) json[key] = Json::array();
  for (const LossCurve& curve : result.fitted) json["fitted"].push_back(to_json(result, curve));
  for (const LossCurve& curve : result.tested) json["tested"].push_back(to_json(result, curve));
  if (!result.tested.empty()) json["mean_relative_error"] = mean_error(result);
  for (const Result::Horizon& horizon : result.horizons) {
    Json predictions = Json::array();
    for (const Proposal& proposal : horizon.usual) predictions.push_back(to_json(proposal));
    json["horizons"].push_back({{"steps", horizon.plan.steps},
                                {"warm_up", horizon.plan.warm_up},
                                {"learning_rate", horizon.plan.highest},
                                {"final_learning_rate", horizon.plan.end},
                                {"predictions", predictions},
                                {"proposed", to_json(horizon.best)}});
  }
  fmt::print("{}\n", json.dump(2, ' ', true, Json::error_handler_t::replace));
}

void print_curve(const Result& result, const LossCurve& curve, const char* role) {
  const double from = first_used(curve, result.from_step);
  const LawError error = error_of(result.fit.law(), curve, from),
                 relaxation = error_of(result.relaxation, curve, from);
  const Prediction last = last_loss_of(result, curve, error);
  fmt::print("{:<7} {:>7.3f} % {:>7.2f} % {:>7.2f} %   {:.4f}   {:.4f} ({:.4f} to {:.4f})   {}\n", role,
             100 * error.mean, 100 * error.worst, 100 * relaxation.mean, error.last_loss, last.value,
             last.low, last.high, curve.name);
}

void print_law(const Result& result) {
  const MultiPowerLaw& law = result.fit.law();
  const RelaxationLaw& seed = result.relaxation;
  fmt::print(
      "multi-power law  floor {:.4f}  A {:.4f}  alpha {:.4f}  B {:.4g}  C {:.4g}  beta {:.3f}  gamma "
      "{:.3f}\n",
      law.floor, law.A, law.alpha, law.B, law.C, law.beta, law.gamma);
  fmt::print("relaxation law   floor {:.4f}  alpha {:.4g}  beta {:.4g}\n\n", seed.floor, seed.alpha,
             seed.beta);
  fmt::print("        mean error    worst  relaxation  last loss  predicted\n");
  for (const LossCurve& curve : result.fitted) print_curve(result, curve, "fitted");
  for (const LossCurve& curve : result.tested) print_curve(result, curve, "tested");
  if (result.tested.size() > 1) fmt::print("tested  {:>7.3f} % in the mean\n", 100 * mean_error(result));
  for (const auto& [plan, usual, best] : result.horizons) {
    fmt::print("\n{} steps, {} of them warm-up, rates {:.4g} to {:.4g}: predicted loss at the end\n",
               with_commas(static_cast<int64_t>(plan.steps)), with_commas(static_cast<int64_t>(plan.warm_up)),
               plan.highest, plan.end);
    for (const Proposal& proposal : usual)
      fmt::print("  {:<12} {:.4f} ({:.4f} to {:.4f})\n", proposal.shape.kind, proposal.loss.value,
                 proposal.loss.low, proposal.loss.high);
    fmt::print(
        "  proposed:    {:.4f} ({:.4f} to {:.4f})  --schedule {} --cooldown {:.1f} --learning-rate {:.4g} "
        "--final-learning-rate {:.4g}\n",
        best.loss.value, best.loss.low, best.loss.high, best.shape.kind, best.shape.cooldown, plan.highest,
        plan.end);
  }
}

int fit_schedule(const ScheduleFlags& flags) {
  std::vector<std::filesystem::path> inputs(flags.logs.begin(), flags.logs.end());
  inputs.insert(inputs.end(), flags.tests.begin(), flags.tests.end());
  if (!flags.plot.empty()) require_apart(flags.plot, inputs);
  if (!flags.plot_rates.empty()) require_apart(flags.plot_rates, inputs);
  const Result result = fit_all(flags);
  std::vector<LossCurve> all = result.fitted;
  all.insert(all.end(), result.tested.begin(), result.tested.end());
  if (!flags.plot.empty())
    write_file_atomically(flags.plot,
                          draw_losses(all, result.fit.law(), result.relaxation, result.from_step));
  if (!flags.plot_rates.empty()) {
    const auto& [plan, usual, best] = result.horizons.front();
    const double first = first_used(result.fitted.front(), result.from_step);
    const double loss = result.fitted.front().thinned(first, 100).front().loss;
    write_file_atomically(flags.plot_rates,
                          draw_rates(result.fitted, rates_of(best.shape, plan),
                                     best_rates(result.relaxation, loss, first, plan.steps, plan.highest)));
  }
  if (flags.json)
    print_fit_json(result);
  else
    print_law(result);
  return 0;
}

Action add_schedule(CLI::App& command) {
  auto flags = std::make_shared<ScheduleFlags>();
  command.require_subcommand(1);
  CLI::App* fit = command.add_subcommand(
      "fit", "Fit laws of the loss to runs; they predict other schedules and propose the best");
  fit->add_option("logs", flags->logs,
                  "Runs to fit: folders of runs, log.jsonl, or CSV with the columns step, lr and loss")
      ->required();
  fit->add_option("--test", flags->tests,
                  "Runs that are not fitted, but predicted and compared (default: none)")
      ->type_name("LOG...");
  fit->add_option("--steps", flags->steps,
                  "Lengths of runs to predict (default: the longest fitted run, and three times as many)")
      ->check(bounds(10));
  fit->add_option("--skip", flags->skip, "Leave out so many steps at the beginning; the warm-up always is")
      ->check(bounds(0))
      ->capture_default_str();
  fit->add_option("--plot", flags->plot, "Draw the losses and the laws into this file, SVG (default: none)");
  fit->add_option("--plot-rates", flags->plot_rates,
                  "Draw the learning rates, proposed ones too, into this file, SVG (default: none)");
  fit->add_flag("--json", flags->json, "Print JSON");
  return [flags] { return fit_schedule(*flags); };
}

const Registration schedule_command({"schedule", CommandGroup::study, 5,
                                     "Predict the loss of other learning rate schedules", add_schedule});

}  // namespace
}  // namespace aviary::cli
