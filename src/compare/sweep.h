// Trains the same model with different settings, each with several seeds, and compares what they give.
#pragma once

#include <cstdio>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "train/trainer.h"

namespace aviary {

constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

// What a run gave.
struct SweepResult {
  double validation = not_measured, test = not_measured;  // bits per byte at the end
  double validation_of_average = not_measured;            // with TrainConfig::ema
  double training_loss = not_measured;     // nats per token, of the last twentieth of the steps
  double seconds_per_step = not_measured;  // the median
  int64_t steps = 0, tokens_per_step = 0, parameters = 0;
};

// Settings that are tried.
struct SweepVariant {
  std::string name;  // the flags that it has and others have not; "": none
  std::vector<std::optional<SweepResult>> results = {};  // by seed; nothing: not finished
};

struct Sweep {
  std::string text;   // its name
  std::string flags;  // those of all variants
  std::vector<uint64_t> seeds;
  std::vector<SweepVariant> variants;  // the first is the one that the others are compared with
};

// A mean with the half of its 95 % interval, by Student's t; NaN of fewer than two numbers.
struct MeanOf {
  double mean = not_measured, half = not_measured;
  int64_t count = 0;
};
MeanOf mean_of(std::span<const double> numbers);
// Of a figure of the finished runs of a variant.
MeanOf mean_of(const SweepVariant& variant, double SweepResult::*figure);
// The mean of what the variant has more than the base, over the seeds that both have finished. The same seed
// gives both the same start and the same batches, so the interval is narrower than that of two means.
MeanOf difference_of(const SweepVariant& variant, const SweepVariant& base, double SweepResult::*figure);

// One HTML page, and the same numbers as CSV with a line for each run.
std::string sweep_page(const Sweep& sweep);
std::string sweep_table(const Sweep& sweep);
// What sweep_table() wrote to sweep.csv of a folder: the variants and seeds of which a run is finished, in
// their order, without the name of the text and the flags of all. Nothing if there is no such table.
std::optional<Sweep> read_sweep(const std::filesystem::path& folder);

// One run of a sweep, in its own run folder.
struct SweepRun {
  TrainConfig config;
  std::filesystem::path folder;
  std::string label;  // for the status line
  TokenizerPtr tokenizer;
  std::shared_ptr<const TrainingData> data;
  std::function<double(Trainer& trainer)> test = {};  // bits per byte of a further text
  std::FILE* out = stdout;
};
enum class SweepEnd : uint8_t { finished, held_elsewhere, interrupted };
// Trains, from where the run was stopped, and keeps the result in the folder; only reads it if it is there
// already. A run that another process holds is left to that process. Throws Error if the folder has a run
// with other settings, or training fails.
SweepEnd run_of_sweep(const SweepRun& run);
std::optional<SweepResult> read_sweep_result(const std::filesystem::path& folder);

}  // namespace aviary
