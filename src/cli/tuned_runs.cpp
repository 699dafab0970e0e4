#include "cli/tuned_runs.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/human.h"
#include "base/quotes.h"
#include "train/run_folder.h"

namespace aviary::cli {

namespace fs = std::filesystem;

std::optional<TunedRun> tuned_run_at(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored) || !is_run(path)) return {};
  try {
    TrainConfig config = read_run_config(path);
    if (!config.tuning.of_model()) return {};
    return TunedRun{.folder = path,
                    .result = path / result_file_of(config),
                    .config = config,
                    .progress = read_run_progress(path)};
  } catch (const Error&) {  // of another program, or damaged
    return {};
  }
}

std::string describe_method(const TrainConfig& config) {
  const Tuning& tuning = config.tuning;
  switch (tuning.method) {
    case TuneMethod::full:
      return tuning.parts.empty() && tuning.layers.empty() ? "all weights" : "some of the weights";
    case TuneMethod::state:
      return "the state that texts begin with";
    default:
      return fmt::format("adapters ({}) of rank {}", name_of(tuning.method), tuning.rank);
  }
}

namespace {

// " (--targets att.key, --layers 6-11)", or nothing.
std::string limits_of(const Tuning& tuning) {
  std::string limits;
  for (const auto& [flag, value] : {std::pair("--targets", tuning.targets),
                                    std::pair("--layers", tuning.layers), std::pair("--train", tuning.parts)})
    if (!value.empty()) limits += fmt::format("{}{} {}", limits.empty() ? "" : ", ", flag, printable(value));
  return limits.empty() ? "" : fmt::format(" ({})", limits);
}

std::string data_of(const TrainConfig& config) {
  if (config.data.empty()) return printable(config.text);
  std::string files;
  for (const auto& [file, weight] : config.data)
    files += (files.empty() ? "" : ", ") + printable(file) +
             (weight == 1 ? "" : fmt::format(" (weight {:g})", weight));
  return files;
}

}  // namespace

std::string command_for_result(const TrainConfig& config, const fs::path& result, const std::string& model) {
  const std::string file = path_for_shell(result.string());
  switch (config.tuning.method) {
    case TuneMethod::full:
      return fmt::format("aviary generate {}", file);
    case TuneMethod::state:
      return fmt::format("aviary generate {} --state {}", model, file);
    default:
      return fmt::format("aviary generate {} --adapter {}", model, file);
  }
}

std::string describe(const TunedRun& run) {
  const Tuning& tuning = run.config.tuning;
  const RunProgress& progress = run.progress;
  std::string text = fmt::format(
      "{}\n  a run of aviary tune, which trains {}{}\n  base: {} ({}, hash {})\n  data: {}\n  {}{} steps are "
      "done",
      printable(run.folder.string()), describe_method(run.config), limits_of(tuning), printable(tuning.base),
      printable(tuning.base_type), printable(tuning.base_hash), data_of(run.config),
      with_commas(progress.steps),
      run.config.schedule.steps ? " of " + with_commas(*run.config.schedule.steps) : "");
  if (progress.best >= 0)
    text += fmt::format("; the result is that of step {}, {:.3f} bits per byte on the validation part",
                        with_commas(progress.best_step), progress.best);
  text += fmt::format("\n  result: {}\n", fs::exists(run.result) ? printable(run.result.string()) : "none");
  if (fs::exists(run.result))
    text += fmt::format("    {}\n", command_for_result(run.config, run.result, path_for_shell(tuning.base)));
  return text;
}

}  // namespace aviary::cli
