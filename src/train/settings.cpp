#include "train/settings.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace aviary {
namespace {

using enum SettingFlag;
using enum SettingGroup;

// A function that accesses a (nested) member: at<&TrainConfig::schedule, &Schedule::start>.
template <auto... path>
constexpr auto at = +[](TrainConfig& config) -> auto& {
  return (config.*....*path);
};

constexpr double many = 1e12;

// clang-format off
constexpr Setting table[] = {
    {"text", at<&TrainConfig::text>, none, first, 0, 0, "The file"},
    {"text_hash", at<&TrainConfig::text_hash>, none, first, 0, 0, "Of its bytes"},
    {"tokenizer", at<&TrainConfig::tokenizer>, none, first, 0, 0, "The kind of the vocabulary"},

    {"minutes", at<&TrainConfig::minutes>, all, first, 0, 1e6,
     "Training time, about (default: at most 10)"},
    {"steps", at<&TrainConfig::schedule, &Schedule::steps>, all, first, 1, many,
     "Number of steps instead (default: as many as the time allows)"},
    {"most_steps", at<&TrainConfig::schedule, &Schedule::most_steps>, none, first, 0, many,
     "Upper limit while the number of steps is unknown"},
    {"version", at<&TrainConfig::model, &ModelConfig::version>, train, first, 0, 0,
     "Version of RWKV: rwkv7, rwkv4, ... (aviary inspect --versions; default: rwkv7)", true,
     "model-version"},

    {"recipe", at<&TrainConfig::model, &ModelConfig::recipe>, train, model, 0, 0,
     "Initialization and learning rates, for versions with several: v4neo or v4-original of rwkv4 (default: the "
     "first of the version)", true},
    {"variant", at<&TrainConfig::model, &ModelConfig::variant>, train, model, 0, 0,
     "The variant, for versions with several (default: the usual one)", true},
    {"layers", at<&TrainConfig::model, &ModelConfig::n_layer>, all, model, 1, 1024,
     "Blocks (default: by the size of the text)", true},
    {"width", at<&TrainConfig::model, &ModelConfig::n_embd>, all, model, 8, 1 << 16,
     "Channels (default: by the size of the text)", true},
    {"head_size", at<&TrainConfig::model, &ModelConfig::head_size>, train, model, 0, 1 << 16,
     "Channels per head (default: that of the version)", true},
    {"vocabulary", at<&TrainConfig::model, &ModelConfig::vocab_size>, all, model, 0, 1 << 16,
     "Tokens to learn from the text; 256: bytes (default: by the size of the text)", true},

    {"context", at<&TrainConfig::context>, all, batches, 1, 1 << 20,
     "Tokens per sequence (default: 64 or 128, by the size of the text)"},
    {"batch", at<&TrainConfig::batch>, all, batches, 1, 1 << 16,
     "Sequences per batch (default: 8 or 16, by the size of the text)"},
    {"accumulate", at<&TrainConfig::accumulate>, train, batches, 1, 1 << 16,
     "Batches whose gradients are added for one step (default: 1)"},
    {"carry_state", at<&TrainConfig::carry_state>, train, batches, 0, 0,
     "Sequences continue where they stopped, with their state"},
    {"seed", at<&TrainConfig::seed>, all, batches, 0, 0,
     "Seed of the initialization and of the order of the text; random: draw one (default: 1)"},

    {"learning_rate", at<&TrainConfig::schedule, &Schedule::start>, all, learning, 0, 10,
     "Learning rate after the warm-up (default: that of the recipe for the width)"},
    {"final_learning_rate", at<&TrainConfig::schedule, &Schedule::end>, all, learning, 0, 10,
     "Learning rate at the end (default: a small part of --learning-rate)"},
    {"schedule", at<&TrainConfig::schedule, &Schedule::kind>, all, learning, 0, 0,
     "Schedule of the learning rate: constant, linear, cosine, exponential (default: cosine)"},
    {"warmup", at<&TrainConfig::schedule, &Schedule::warmup>, all, learning, 0, many,
     "Steps in which the learning rate rises (default: 50, at most a fifth of the steps)"},
    {"warmup_from", at<&TrainConfig::schedule, &Schedule::warmup_from>, train, learning, 0, 1,
     "Fraction of the learning rate at the first step (default: 0.01)"},
    {"learning_rate_scales", at<&TrainConfig::learning_rate_scales>, train, learning, 0, 1000,
     "NAME=FACTOR, for the parameters whose name contains NAME (a layer: blocks.0.); can be repeated "
     "(default: 1 for all)",
     false, "learning-rate-scale"},
    {"beta1", at<&TrainConfig::beta1>, train, learning, 0, 0.999999,
     "beta1 of AdamW (default: that of the recipe, 0.9)"},
    {"beta2", at<&TrainConfig::beta2>, train, learning, 0, 0.999999999,
     "beta2 of AdamW (default: that of the recipe, 0.99)"},
    {"epsilon", at<&TrainConfig::epsilon>, train, learning, 0, 1,
     "epsilon of AdamW (default: that of the recipe)"},
    {"weight_decay", at<&TrainConfig::weight_decay>, train, learning, 0, 100,
     "Weight decay of matrices (default: 0.1, or 0 if the recipe has none)"},
    {"clip", at<&TrainConfig::clip>, train, learning, 0, 1e9,
     "Largest norm of the gradient; 0: no clipping (default: that of the recipe, 1)"},
    {"dropout", at<&TrainConfig::dropout>, train, learning, 0, 0.95,
     "Probability of setting an element to zero (default: 0)"},
    {"dropout_at", at<&TrainConfig::dropout_at>, train, learning, 0, 0,
     "Some of att, ffn: x + d(att(x)), x + d(ffn(x)); after_att, after_ffn: d(x + att(x)), d(x + ffn(x)) "
     "(default: att,ffn)"},
    {"l2wrap", at<&TrainConfig::l2wrap>, train, learning, 0, 0,
     "Without the penalty on the largest logit (default: as in the recipe)"},
    {"precision", at<&TrainConfig::precision>, all, learning, 0, 0,
     "Precision of matrix products: f32, bf16 (default: the fastest on this CPU)"},

    {"validation_bytes", at<&TrainConfig::validation_bytes>, all, output, -1, 1e15,
     "Bytes at the end of the text to validate with, as 20000 or 20K (default: a tenth, at most 200,000; "
     "compare: 50,000)",
     false, nullptr, true},
    {"validate_every", at<&TrainConfig::validate_every>, all, output, -1, many,
     "Steps between validations; 0: only at the end (default: 20 times in a run; compare: 10 times)"},
    {"checkpoint_every", at<&TrainConfig::checkpoint_every>, train, output, 0, many,
     "Steps between checkpoints, in addition to one every minute (default: 0, only one every minute)"},
    {"sample_every", at<&TrainConfig::sample_every>, train, output, -1, many,
     "Steps between samples; 0: never (default: 5 times in a run)"},
};
// clang-format on

}  // namespace

std::string Setting::flag_text() const {
  std::string text = flag_name ? flag_name : name;
  std::replace(text.begin(), text.end(), '_', '-');
  const auto* get = std::get_if<bool& (*)(TrainConfig&)>(&member);
  TrainConfig standard;
  return (get && (*get)(standard) ? "--no-" : "--") + text;
}

std::span<const Setting> settings() { return table; }

const Setting* find_setting(std::string_view name) {
  const auto* found = std::find_if(std::begin(table), std::end(table),
                                   [&](const Setting& setting) { return name == setting.name; });
  return found == std::end(table) ? nullptr : found;
}

void check_bounds(const Setting& setting, const TrainConfig& config) {
  auto between = [&](const std::string& what, double value) {
    require(std::isfinite(value) && value >= setting.low && value <= setting.high,
            "{} is {}, expected {} to {}", what, value, setting.low, setting.high);
  };
  setting.visit(config, [&](const auto& value) {
    using Value = std::remove_cvref_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, int64_t> || std::is_same_v<Value, double>)
      between(setting.flag_text(), static_cast<double>(value));
    else if constexpr (std::is_same_v<Value, std::optional<int64_t>>) {
      if (value) between(setting.flag_text(), static_cast<double>(*value));
    } else if constexpr (std::is_same_v<Value, LearningRateScales>) {
      for (const auto& [name, factor] : value) between(setting.flag_text() + " " + name, factor);
    }
  });
}

}  // namespace aviary
