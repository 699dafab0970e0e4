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

// Measured with models of width 192 (docs/tuning.md); how they fall with the width is an estimate.
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
      return {5e-2 * std::sqrt(narrow), 0.05};
  }
  return {};
}

constexpr int64_t usual_tokens = 2048;  // of a step
constexpr int64_t usual_text_context = 256, usual_chunk = 512;
constexpr int64_t usual_tuning_warmup = 20;
constexpr double moments_and_gradient = 16;  // bytes of full training per parameter

// The batch of documents or windows with about usual_tokens tokens.
int64_t usual_batch(double tokens_of_one) {
  return std::clamp<int64_t>(
      static_cast<int64_t>(static_cast<double>(usual_tokens) / std::max(tokens_of_one, 1.0)), 1, 32);
}

constexpr const char* adapter_settings[] = {"rank", "alpha", "targets", "adapter_dropout"};

// A setting of adapters asks for adapters.
TuneMethod method_of(const Asked& asked, const TuningFacts& facts) {
  if (asked.has("method")) return asked.values.tuning.method;
  const bool adapters = std::any_of(std::begin(adapter_settings), std::end(adapter_settings),
                                    [&](const char* setting) { return asked.has(setting); });
  return adapters ? TuneMethod::lora : usual_method(facts);
}

void refuse_for_method(const Asked& asked, const Tuning& tuning) {
  const bool full = tuning.method == TuneMethod::full, state = tuning.method == TuneMethod::state;
  auto refuse = [&](bool refused, const char* setting, const char* reason) {
    require(!refused || !asked.has(setting), "{} {}, not for --method {}", find_setting(setting)->flag_text(),
            reason, name_of(tuning.method));
  };
  for (const char* setting : adapter_settings)
    refuse(full || state, setting, "is for adapters (--method lora, pissa or miss)");
  refuse(tuning.method != TuneMethod::lora, "alpha", "is for lora: other matrices are added as they are");
  refuse(state, "tuned_layers", "chooses blocks whose weights are tuned");
  refuse(state, "tuned_parts", "names weights, which stay as they are");
  refuse(state, "carry_state", "goes on with the last state; one that is tuned begins each text");
  refuse(!full, "learning_rate_scales", "is for the model's own weights");
  refuse(!full && !asked.has("tuned_parts"), "weight_decay", "is for the model's own weights");
}

void refuse_for_data(const Asked& asked, const TuningFacts& facts) {
  for (const char* setting : {"rename", "skip_broken", "truncate", "validation_share"})
    require(!facts.text || !asked.has(setting), "{} is for rows of documents (jsonl), but {} is plain text",
            find_setting(setting)->flag_text(), facts.text ? facts.text->path : "");
  for (const char* setting : {"carry_state", "validation_bytes"})
    require(facts.text || !asked.has(setting),
            "{} is for plain text, but the data is rows of documents (jsonl)",
            find_setting(setting)->flag_text());
  const bool no_validation = facts.text ? asked.has("validation_bytes") && asked.values.validation_bytes == 0
                                        : asked.has("validation_share") && asked.values.validation_share == 0;
  for (const char* setting : {"patience", "validate_every"})
    require(!no_validation || !asked.has(setting),
            "{} is about validations, but no part of the data is kept for them",
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
    config.batch = usual_batch(facts.text ? static_cast<double>(config.context)
                                          : facts.read_tokens / std::max(facts.sequences, 1.0));
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
  config.tuning = {.base = facts.base,
                   .base_hash = facts.base_hash,
                   .base_type = facts.base_type,
                   .base_name = facts.base_name,
                   .chat_template = facts.chat_template};
  config.tuning.method = method_of(asked, facts);
  refuse_for_method(asked, config.tuning);
  refuse_for_data(asked, facts);
  apply_recipe(config);
  const Rates rates = rates_for(config);
  config.schedule = {.kind = ScheduleKind::cosine,
                     .start = rates.start,
                     .end = rates.start * rates.end,
                     .warmup = usual_tuning_warmup};
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
  require(config.tuning.dropout == 0 || config.chunk == 0 || config.context <= config.chunk,
          "--dropout cannot be used with sequences of several chunks: the longest has {} tokens, --chunk is "
          "{}; give a longer --chunk, or shorten documents (--context N --truncate)",
          config.context, config.chunk);
  require(
      config.chunk == 0 || facts.carries_gradients,
      "--chunk: the state of this model grows with the text, so gradients cannot be passed between chunks");
  require(!asked.has("epochs") || (!asked.has("steps") && !asked.has("minutes")),
          "--epochs, --steps and --minutes each say how long to train; give one of them");
  if (asked.has("minutes"))
    require(config.minutes > 0, "--minutes is {}, expected more than 0", config.minutes);
  else if (!asked.has("steps"))
    config.schedule.steps = steps_of_epochs(config, facts);
  if (facts.processes > 0 && !asked.has("workers")) config.workers = usual_workers(config, facts.processes);
  check(config);
  refuse_what_would_be_ignored(asked, config);
  fit_warmup(asked, config);
  return config;
}

}  // namespace aviary
