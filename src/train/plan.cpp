#include "train/plan.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/error.h"
#include "models/registry.h"
#include "train/plan_parts.h"
#include "train/settings.h"

namespace aviary {
namespace {

struct Size {
  int64_t bytes;  // up to this many
  int64_t vocabulary, layers, width, context, batch;
};

// Measured on novels and on parts of them: more layers or tokens than these bring no advantage within a few
// minutes on a desktop computer.
constexpr Size sizes[] = {
    {30'000, 256, 3, 64, 64, 8},
    {300'000, 512, 4, 128, 64, 16},
    {2'000'000, 1024, 5, 160, 128, 16},
    {int64_t{1} << 60, 2048, 6, 192, 128, 16},
};

// Weight decay of matrices, if the recipe of the version has any: small models on small texts benefit from
// more than the originals have.
constexpr double weight_decay = 0.1;
// Ratio of the learning rate of the last step to that at the end of the warm-up: for a planned and for a
// given learning rate.
constexpr double decline = 30, decline_of_given = 20;
constexpr int64_t usual_warmup = 50;
// Muon bears higher rates than AdamW, and they fall to zero in a straight line (docs/recipes.md).
constexpr double faster_with_muon = 4;

constexpr int64_t fewest_tokens = 32;  // of the shortest text that is worth training on
constexpr int64_t fewest_steps = 100, most_steps = 1'000'000;
constexpr double usual_minutes = 10;  // at most
constexpr int64_t smallest_vocabulary = 256;
constexpr int64_t most_usual_workers = 8;

// ./quickstart, on five novels, with Muon: the best that was found for the time of 920 steps of AdamW with
// the largest of these sizes (docs/recipes.md). It reads the novels 2.4 times; where a text is read more
// often, Muon overfits.
constexpr Size quickstart_size = {0, 4096, 4, 192, 128, 16};
constexpr int64_t quickstart_validation_bytes = 50'000, quickstart_steps = 950;

const Size& size_for(int64_t bytes) {
  return *std::find_if(std::begin(sizes), std::end(sizes), [&](const Size& s) { return bytes <= s.bytes; });
}

// The sizes for the text, and the recipe of the version for a model of this width.
TrainConfig usual_settings(const Asked& asked, const Facts& facts) {
  const Size& size = asked.quickstart ? quickstart_size : size_for(facts.text.bytes);
  TrainConfig config;
  config.model = {.version = asked.has("version") ? asked.values.model.version : "rwkv7",
                  .recipe = asked.values.model.recipe,
                  .n_layer = size.layers,
                  .n_embd = size.width,
                  .vocab_size = size.vocabulary};
  config.tokenizer = size.vocabulary == smallest_vocabulary ? "bytes" : "world";
  config.context = size.context;
  config.batch = size.batch;
  config.schedule = {.kind = ScheduleKind::cosine, .warmup = usual_warmup};
  apply_recipe(config);
  config.precision = facts.fastest_precision;
  if (asked.quickstart) {
    config.schedule.steps = quickstart_steps;
    config.optimizer = OptimizerKind::muon;
    config.validation_bytes = quickstart_validation_bytes;
  }
  return config;
}

void suit_optimizer(const Asked& asked, TrainConfig& config) {
  if (config.optimizer != OptimizerKind::muon) return;
  Schedule& schedule = config.schedule;
  if (!asked.has("learning_rate")) schedule.start *= faster_with_muon;
  if (!asked.has("schedule")) schedule.kind = ScheduleKind::linear;
  if (!asked.has("final_learning_rate") && schedule.kind != ScheduleKind::exponential) schedule.end = 0;
}

void take_given(const Asked& asked, TrainConfig& config) {
  const TrainConfig usual = config;
  config.model = asked.values.model;  // with the options of the version
  config.model.version = usual.model.version;
  config.model.n_layer = usual.model.n_layer;
  config.model.n_embd = usual.model.n_embd;
  config.model.vocab_size = usual.model.vocab_size;
  for (const Setting& setting : settings())
    if (asked.has(setting.name)) setting.copy(asked.values, config);
  config.model.ctx_len = config.context;
  if (asked.has("learning_rate") && !asked.has("final_learning_rate"))
    config.schedule.end = config.schedule.start / decline_of_given;
  suit_optimizer(asked, config);
  if (asked.has("minutes")) {
    require(config.minutes > 0, "--minutes is {}, expected more than 0", config.minutes);
    config.schedule.steps.reset();
  } else if (!config.schedule.steps) {
    config.minutes = usual_minutes;
  }
}

}  // namespace

void refuse_what_would_be_ignored(const Asked& asked, const TrainConfig& config) {
  require(!asked.has("vocabulary") || config.model.vocab_size >= smallest_vocabulary,
          "--vocabulary is {}, expected {} to 65536", config.model.vocab_size, smallest_vocabulary);
  require(
      !asked.has("dropout_at") || config.dropout > 0,
      "--dropout-at says where elements are dropped, but --dropout is 0; give a probability with --dropout");
  require(!asked.has("final_learning_rate") || config.schedule.kind != ScheduleKind::constant,
          "--final-learning-rate is for a learning rate that changes, but --schedule is constant");
  require(!asked.has("cooldown") || config.schedule.kind != ScheduleKind::constant,
          "--cooldown says how long the learning rate falls, but --schedule is constant");
  for (const char* of_muon : {"muon_of", "muon_rate", "momentum", "momentum_warmup"})
    require(!asked.has(of_muon) || config.optimizer == OptimizerKind::muon,
            "{} is a setting of Muon, but --optimizer is {}", find_setting(of_muon)->flag_text(),
            name_of(config.optimizer));
  for (const char* of_rounds : {"outer_learning_rate", "outer_momentum"})
    require(
        !asked.has(of_rounds) || config.local_steps > 0,
        "{} says how a round of local steps ends, but there are none; give their number with --local-steps",
        find_setting(of_rounds)->flag_text());
  require(!asked.has("epsilon") || config.optimizer != OptimizerKind::lion,
          "--epsilon is for AdamW, but --optimizer is lion");
  for (const char* of_decay : {"cautious_decay", "final_weight_decay"})
    require(!asked.has(of_decay) || config.weight_decay > 0,
            "{} says how weights decay, but --weight-decay is 0; give a decay with it",
            find_setting(of_decay)->flag_text());
  require(
      !asked.has("validate_every") || config.validate_every <= 0 || config.validation_bytes != 0,
      "--validate-every says when to validate, but --validation-bytes is 0: there is no text to do it with");
}

void fit_warmup(const Asked& asked, TrainConfig& config) {
  const int64_t steps = config.schedule.steps.value_or(config.schedule.most_steps);  // 0: not known
  if (steps > 0 && !asked.has("warmup")) config.schedule.warmup = std::min(config.schedule.warmup, steps / 5);
  config.schedule.fit_warmup = !config.schedule.steps && !asked.has("warmup");
  require(steps == 0 || config.schedule.warmup <= steps, "--warmup is {}, more than the {} steps of the run",
          config.schedule.warmup, steps);
  require(!asked.has("warmup_from") || config.schedule.warmup > 0,
          "--warmup-from says where the warm-up begins, but this run has none; give its steps with --warmup");
}

namespace {

// The number of steps for a useful number of passes over the tokens: many for small texts, few for large
// ones.
int64_t steps_for(int64_t tokens, const TrainConfig& config) {
  const double passes =
      std::clamp(3.0 * std::pow(1e6 / static_cast<double>(std::max<int64_t>(tokens, 1)), 0.2), 1.0, 8.0);
  const double steps = passes * static_cast<double>(tokens) / static_cast<double>(config.tokens_per_step());
  return std::clamp(static_cast<int64_t>(steps), fewest_steps, most_steps);
}

void take_vocabulary(const Asked& asked, const Facts& facts, TrainConfig& config) {
  const Facts::Vocabulary& vocabulary = *facts.vocabulary;
  require(!asked.has("vocabulary") || !vocabulary.chosen || config.model.vocab_size == vocabulary.size,
          "--vocabulary is {}, but the tokenizer has {} tokens; --vocabulary is for one that is learned from "
          "the text",
          config.model.vocab_size, vocabulary.size);
  config.tokenizer = vocabulary.kind;
  config.model.vocab_size = vocabulary.size;
  require(vocabulary.train_tokens >= fewest_tokens,
          "{}: only {} tokens are there to train on, at least {} are needed; take a longer text",
          facts.text.path, vocabulary.train_tokens, fewest_tokens);
  if (!asked.has("context"))
    config.context = std::min(config.context, vocabulary.train_tokens / 2);  // a text shorter than one window
  require(config.context < vocabulary.train_tokens,
          "--context is {}, but the text has only {} tokens to train on; a sequence needs one more than its "
          "context",
          config.context, vocabulary.train_tokens);
  if (!asked.has("minutes") && !config.schedule.steps)
    config.schedule.most_steps = steps_for(vocabulary.train_tokens, config);
}

}  // namespace

TrainConfig resolve(const Asked& asked, const Facts& facts) {
  TrainConfig config = usual_settings(asked, facts);
  config.data = facts.text.files;
  if (config.data.empty()) config.text = facts.text.path;
  config.text_hash = facts.text.hash;
  take_given(asked, config);
  if (facts.processes > 0 && !asked.has("workers")) config.workers = usual_workers(config, facts.processes);
  check(config);
  refuse_what_would_be_ignored(asked, config);
  if (facts.vocabulary) take_vocabulary(asked, facts, config);
  fit_warmup(asked, config);
  return config;
}

// The same for any number of processes, so that the result is the same; but each trains by itself with
// --local-steps.
int64_t usual_workers(const TrainConfig& config, int64_t processes) {
  if (config.local_steps > 0) return processes;
  return std::min(most_usual_workers,
                  static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(config.batch))));
}

void apply_recipe(TrainConfig& config) {
  const TrainingRecipe rules = model_version(config.model.version).training(config.model.recipe);
  // The recipes were designed for models of a hundred million parameters; small ones learn faster with higher
  // rates.
  const double faster =
      std::clamp(std::sqrt(768.0 / static_cast<double>(config.model.n_embd)) * 2.5, 1.0, 6.0);
  config.schedule.start = rules.learning_rate * faster;
  config.schedule.end = rules.learning_rate * faster / decline;
  config.beta1 = rules.beta1;
  config.beta2 = rules.beta2;
  config.epsilon = rules.epsilon;
  config.weight_decay = rules.weight_decay > 0 ? weight_decay : 0;
  config.clip = rules.clip;
  config.l2wrap = rules.l2wrap;
}

}  // namespace aviary
