// Measurements of a trained member.
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
  int64_t windows = 0;                   // number of windows that the next field is the mean over
  std::vector<double> loss_by_position;  // on the validation text, nats per token
  std::vector<GenerationTime>
      generation;  // one for each of timed_contexts; for a model with a context limit, within the limit
};

// Measures the trained model in a run folder. Returns nothing if `go_on`, called regularly, returns false.
std::optional<Measures> measure_member(const std::filesystem::path& run, const TrainConfig& config,
                                       const Corpus& data, const std::function<bool()>& go_on);

// measures.json in a run folder; nothing if it is missing or damaged.
std::optional<Measures> read_measures(const std::filesystem::path& run);
void write_measures(const std::filesystem::path& run, const Measures& measures);

}  // namespace aviary
