#include "train/plan.h"

#include <algorithm>
#include <cmath>

#include "models/registry.h"

namespace aviary {
namespace {

struct Size {
  int64_t bytes;  // up to this many
  int64_t vocabulary, layers, width, context, batch;
};

// Measured on novels and on parts of them: more layers or words than these do not pay within some minutes on
// a desk.
constexpr Size sizes[] = {
    {30'000, 256, 3, 64, 64, 8},
    {300'000, 512, 4, 128, 64, 16},
    {2'000'000, 1024, 5, 160, 128, 16},
    {int64_t{1} << 60, 2048, 6, 192, 128, 16},
};

// Of matrices, where the recipe of the version has any: small models on small texts bear more than the
// originals'.
constexpr double weight_decay = 0.1;
constexpr double decline = 30;  // of the learning rate, from the first step to the last

constexpr int64_t fewest_steps = 100, most_steps = 1'000'000;

}  // namespace

TrainConfig plan_training(int64_t bytes, const std::string& version, const std::string& recipe) {
  const Size& size =
      *std::find_if(std::begin(sizes), std::end(sizes), [&](const Size& s) { return bytes <= s.bytes; });
  TrainConfig config;
  config.model = {.version = version,
                  .recipe = recipe,
                  .n_layer = size.layers,
                  .n_embd = size.width,
                  .vocab_size = size.vocabulary,
                  .ctx_len = size.context};
  config.tokenizer = size.vocabulary == 256 ? "bytes" : "world";
  config.context = size.context;
  config.batch = size.batch;
  config.schedule = {.kind = ScheduleKind::cosine, .warmup = 50};
  apply_recipe(config);
  config.precision = kernels::fastest_precision();
  return config;
}

void apply_recipe(TrainConfig& config) {
  const TrainingRecipe rules = model_version(config.model.version).training(config.model.recipe);
  // The recipes were made for models of a hundred million parameters; small ones learn faster at higher
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

TrainConfig quickstart_config() {
  TrainConfig config = plan_training(4'000'000, "rwkv7", "");
  config.schedule.steps = 920;  // four minutes on two cores with bf16 products, measured
  config.validation_bytes = 50'000;
  return config;
}

int64_t plan_steps(int64_t tokens, const TrainConfig& config) {
  const double passes =
      std::clamp(3.0 * std::pow(1e6 / static_cast<double>(std::max<int64_t>(tokens, 1)), 0.2), 1.0, 8.0);
  const double steps = passes * static_cast<double>(tokens) / static_cast<double>(config.tokens_per_step());
  return std::clamp(static_cast<int64_t>(steps), fewest_steps, most_steps);
}

}  // namespace aviary
