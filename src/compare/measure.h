// What is measured of a member once it is trained.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "data/corpus.h"
#include "eval/evaluate.h"
#include "eval/generation_time.h"
#include "train/config.h"

namespace aviary {

// Tokens of context at which generation is timed.
constexpr int64_t timed_contexts[] = {1024, 8192};

struct Measures {
  int64_t windows = 0;                   // that the next line is the mean of
  std::vector<double> loss_by_position;  // on the validation text, nats per token
  std::vector<GenerationTime>
      generation;  // one for each of timed_contexts; a limited model: within its limit
};

// Of the trained model in the folder of a run. Nothing when `go_on`, asked now and then, says no.
std::optional<Measures> measure_member(const std::filesystem::path& run, const TrainConfig& config,
                                       const Corpus& data, const std::function<bool()>& go_on);

// measures.json in the folder of a run; nothing where it is missing or damaged.
std::optional<Measures> read_measures(const std::filesystem::path& run);
void write_measures(const std::filesystem::path& run, const Measures& measures);

}  // namespace aviary
