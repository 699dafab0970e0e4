#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "models/registry.h"
#include "train/plan_parts.h"
#include "train/settings.h"

namespace aviary {
namespace {

// Learning rates after the warm-up, for a model of width 768 and of any width.
struct Rates {
  double start, end;  // end: a part of start
};

// Measured with models of width 192 (docs/tuning.md); adapters fall with the width, as the sums in their
// products grow with it.
Rates rates_for(const TrainConfig& config) {
  const double narrow = 768.0 / static_cast<double>(config.model.n_embd);
  switch (config.tuning.method) {
    case TuneMethod::full:
      return {model_version(config.model.version).training(config.model.recipe).learning_rate *
                  std::sqrt(narrow) / 2,
              0.1};
    case TuneMethod::lora:
    case TuneMethod::pissa:
    case TuneMethod::miss:
      return {1e-3 * narrow, 0.1};
    case TuneMethod::state:
      return {2e-2, 0.05};
  }
  return {};
}

constexpr int64_t usual_tokens = 2048;  // of a step
constexpr int64_t usual_text_context = 256, usual_chunk = 512;
constexpr int64_t usual_warmup = 20;
constexpr double moments_and_gradient = 16;  // bytes of full training per parameter

// The batch of documents or windows with about usual_tokens tokens.
int64_t usual_batch(double tokens_of_one) {
  return std::clamp<int64_t>(
      static_cast<int64_t>(static_cast<double>(usual_tokens) / std::max(tokens_of_one, 1.0)), 1, 32);
}

void refuse_for_method(const Asked& asked, const Tuning& tuning) {
  const bool adapters = tuning.method == TuneMethod::lora || tuning.method == TuneMethod::pissa ||
                        tuning.method == TuneMethod::miss;
  for (const char* setting : {"rank", "alpha", "targets", "adapter_dropout"})
    require(adapters || !asked.has(setting),
            "{} is for adapters (--method lora, pissa or miss), not for --method {}",
            find_setting(setting)->flag_text(), name_of(tuning.method));
  require(tuning.method == TuneMethod::lora || !asked.has("alpha"),
          "--alpha has no meaning with --method {}, whose matrices are added as they are",
          name_of(tuning.method));
  require(tuning.method != TuneMethod::state || !asked.has("tuned_layers"),
          "--layers: the state is tuned in all blocks; leave it out");
}

void refuse_for_data(const Asked& asked, const TuningFacts& facts) {
  for (const char* setting : {"rename", "skip_broken", "truncate", "validation_share"})
    require(!facts.text || !asked.has(setting), "{} is for rows of documents (jsonl), but {} is plain text",
            find_setting(setting)->flag_text(), facts.text ? facts.text->path : "");
  for (const char* setting : {"carry_state", "validation_bytes"})
    require(facts.text || !asked.has(setting),
            "{} is for plain text, but the data is rows of documents (jsonl)",
            find_setting(setting)->flag_text());
  require(!asked.has("truncate") || asked.has("context"),
          "--truncate cuts documents that are longer than --context; give that, too");
}

// Steps of config.tuning.epochs over the data.
int64_t steps_of_epochs(const TrainConfig& config, const TuningFacts& facts) {
  const double per_epoch =
      facts.text ? static_cast<double>(facts.tokens) / static_cast<double>(config.tokens_per_step())
                 : facts.sequences / static_cast<double>(config.batch * config.accumulate);
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(config.tuning.epochs * per_epoch)));
}

void take_sizes(const Asked& asked, const TuningFacts& facts, TrainConfig& config) {
  if (facts.text) {
    require(config.context < facts.tokens || asked.has("context"),
            "{}: only {} tokens are there to train on; take a longer text", facts.text->path, facts.tokens);
    require(config.context < facts.tokens,
            "--context is {}, but the text has only {} tokens to train on; a sequence needs one more than "
            "its context",
            config.context, facts.tokens);
  } else if (!asked.has("context")) {
    config.context = facts.longest;
  }
  if (!asked.has("batch"))
    config.batch =
        usual_batch(facts.text ? static_cast<double>(config.context)
                               : static_cast<double>(facts.tokens) / std::max(facts.sequences, 1.0));
}

}  // namespace

TuneMethod usual_method(const TuningFacts& facts) {
  const double bytes = moments_and_gradient * static_cast<double>(facts.parameters);
  const bool fits = facts.free_memory == 0 || bytes < static_cast<double>(facts.free_memory) / 2;
  const bool enough = 25 * facts.tokens >= facts.parameters;
  return !facts.quantized && fits && enough ? TuneMethod::full : TuneMethod::lora;
}

TrainConfig resolve_tuning(const Asked& asked, const TuningFacts& facts) {
  TrainConfig config;
  config.model = facts.model;
  config.tokenizer = facts.tokenizer;
  if (facts.text) config.text = facts.text->path;
  config.text_hash = facts.data_hash;
  config.data = facts.documents;
  config.tuning = {.base = facts.base, .base_hash = facts.base_hash, .base_type = facts.base_type};
  config.tuning.method = asked.has("method") ? asked.values.tuning.method : usual_method(facts);
  refuse_for_method(asked, config.tuning);
  refuse_for_data(asked, facts);
  apply_recipe(config);
  const Rates rates = rates_for(config);
  config.schedule = {.kind = ScheduleKind::cosine,
                     .start = rates.start,
                     .end = rates.start * rates.end,
                     .warmup = usual_warmup};
  config.weight_decay = 0;
  if (config.tuning.method != TuneMethod::full) config.epsilon = 1e-8;
  config.precision = facts.fastest_precision;
  config.context = usual_text_context;
  config.chunk = facts.carries_gradients ? usual_chunk : 0;
  for (const Setting& setting : settings())
    if (asked.has(setting.name)) setting.copy(asked.values, config);
  if (!asked.has("alpha"))
    config.tuning.alpha =
        static_cast<double>((config.tuning.method == TuneMethod::miss ? 1 : 2) * config.tuning.rank);
  if (asked.has("learning_rate") && !asked.has("final_learning_rate"))
    config.schedule.end = config.schedule.start * rates.end;
  take_sizes(asked, facts, config);
  require(
      config.chunk == 0 || facts.carries_gradients,
      "--chunk: the state of this model grows with the text, so gradients cannot be passed between chunks");
  require(!asked.has("epochs") || (!asked.has("steps") && !asked.has("minutes")),
          "--epochs, --steps and --minutes each say how long to train; give one of them");
  if (asked.has("minutes"))
    require(config.minutes > 0, "--minutes is {}, expected more than 0", config.minutes);
  else if (!asked.has("steps"))
    config.schedule.steps = steps_of_epochs(config, facts);
  check(config);
  refuse_what_would_be_ignored(asked, config);
  fit_warmup(asked, config);
  return config;
}

}  // namespace aviary
