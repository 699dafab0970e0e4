// Runs of `aviary tune`, as other commands describe them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "train/trainer.h"

namespace aviary::cli {

struct TunedRun {
  std::filesystem::path folder;
  std::filesystem::path result;  // the model, adapter or state; it may not exist
  TrainConfig config;
  RunProgress progress;
};

// Nothing for a path that is not the folder of a run of `aviary tune` with a checkpoint.
std::optional<TunedRun> tuned_run_at(const std::filesystem::path& path);

// "all weights", "adapters (lora) of rank 16"
std::string describe_method(const TrainConfig& config);

// What is trained, on which base and data, how far it is, and how to use the result: lines for a terminal.
std::string describe(const TunedRun& run);

// The command that generates text with the result, beside the base where that is needed. `model`: the base,
// and its options, as words of a command line.
std::string command_for_result(const TrainConfig& config, const std::filesystem::path& result,
                               const std::string& model);

}  // namespace aviary::cli
