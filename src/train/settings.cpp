#include "train/settings.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace aviary {
namespace {

using namespace setting_flags;
using enum SettingGroup;

constexpr SettingFlags everywhere = train | compare | tune;

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

    {"data", at<&TrainConfig::data>, none, first, 0, 1000, "Files of documents or of tokens, and how often each is read"},
    {"base", at<&TrainConfig::tuning, &Tuning::base>, none, first, 0, 0, "The model that is tuned"},
    {"base_hash", at<&TrainConfig::tuning, &Tuning::base_hash>, none, first, 0, 0, "Of its numbers"},
    {"base_name", at<&TrainConfig::tuning, &Tuning::base_name>, none, first, 0, 0, "Of its file"},
    {"base_type", at<&TrainConfig::tuning, &Tuning::base_type>, none, first, 0, 0, "Of most of them"},
    {"chat_template", at<&TrainConfig::tuning, &Tuning::chat_template>, none, first, 0, 0, "Of the conversations in the data"},

    {"minutes", at<&TrainConfig::minutes>, everywhere, first, 0, 1e6,
     "Time that the run takes: its steps are chosen by their speed, and corrected when that changes, so that the learning "
     "rate has fallen in time (default: at most 10; tune: by --epochs)"},
    {"steps", at<&TrainConfig::schedule, &Schedule::steps>, everywhere, first, 1, many,
     "Number of steps instead (default: as many as the time allows)"},
    {"most_steps", at<&TrainConfig::schedule, &Schedule::most_steps>, none, first, 0, many,
     "Upper limit while the number of steps is unknown"},
    {"corrections", at<&TrainConfig::schedule, &Schedule::corrections>, none, first, 0, 0,
     "Numbers of steps that a run by minutes was planned to have, and from which step on"},
    {"version", at<&TrainConfig::model, &ModelConfig::version>, train, first, 0, 0,
     "Version of RWKV: rwkv7, rwkv4, ... (aviary inspect --versions; default: rwkv7)", true,
     "model-version"},

    {"method", at<&TrainConfig::tuning, &Tuning::method>, tune, first, 0, 0,
     "What is trained: full (the weights), lora, pissa or miss (low-rank matrices beside them), state (the state that "
     "texts begin with) (default: by memory and data)"},
    {"epochs", at<&TrainConfig::tuning, &Tuning::epochs>, tune, first, 0.001, 10000,
     "Times that the data is read (default: 3)"},
    {"rank", at<&TrainConfig::tuning, &Tuning::rank>, tune, tuning, 1, 1 << 14,
     "Rank of adapters (default: 16)"},
    {"alpha", at<&TrainConfig::tuning, &Tuning::alpha>, tune, tuning, 1e-6, 1e6,
     "Adapters are added alpha / rank times (default: twice the rank; miss: the rank)"},
    {"targets", at<&TrainConfig::tuning, &Tuning::targets>, tune, tuning, 0, 0,
     "Parts of the names of matrices that get an adapter, as att.key,ffn (default: all matrices of the blocks)"},
    {"tuned_layers", at<&TrainConfig::tuning, &Tuning::layers>, tune, tuning, 0, 0,
     "Blocks that are tuned, as 6-11 (default: all)", false, "layers"},
    {"tuned_parts", at<&TrainConfig::tuning, &Tuning::parts>, tune, tuning, 0, 0,
     "Parts of the names of parameters that are trained themselves, as ln,time (default: all with --method full, "
     "otherwise none)", false, "train"},
    {"adapter_dropout", at<&TrainConfig::tuning, &Tuning::dropout>, tune, tuning, 0, 0.95,
     "Probability of setting an input of an adapter to zero (default: 0)", false, "dropout"},
    {"patience", at<&TrainConfig::tuning, &Tuning::patience>, tune, tuning, 0, 1e6,
     "Validations without a better result after which the run ends; 0: it goes on (default: 3)"},

    {"rename", at<&TrainConfig::rename>, tune, data, 0, 0,
     "Keys of the rows that are read as others, as question=prompt,answer=completion (default: none)", false, "map"},
    {"skip_broken", at<&TrainConfig::skip_broken>, tune, data, 0, 0, "Leave out rows with an error, and count them"},
    {"truncate", at<&TrainConfig::truncate>, tune, data, 0, 0,
     "Cut documents that are longer than --context, instead of refusing them"},
    {"validation_share", at<&TrainConfig::validation_share>, tune, data, 0, 0.9,
     "Share of the documents that are kept to validate with (default: 0.05)"},

    {"recipe", at<&TrainConfig::model, &ModelConfig::recipe>, train, model, 0, 0,
     "Initialization and learning rates, for versions with several: v4neo or v4-original of rwkv4 (default: the "
     "first of the version)", true},
    {"variant", at<&TrainConfig::model, &ModelConfig::variant>, train, model, 0, 0,
     "The variant, for versions with several (default: the usual one)", true},
    {"layers", at<&TrainConfig::model, &ModelConfig::n_layer>, train | compare, model, 1, 1024,
     "Blocks (default: by the size of the text)", true},
    {"width", at<&TrainConfig::model, &ModelConfig::n_embd>, train | compare, model, 8, 1 << 16,
     "Channels (default: by the size of the text)", true},
    {"head_size", at<&TrainConfig::model, &ModelConfig::head_size>, train, model, 0, 1 << 16,
     "Channels per head (default: that of the version)", true},
    {"vocabulary", at<&TrainConfig::model, &ModelConfig::vocab_size>, train | compare, model, 0, 1 << 16,
     "Tokens to learn from the text; 256: bytes (default: by the size of the text)", true},

    {"context", at<&TrainConfig::context>, everywhere, batches, 1, 1 << 30,
     "Tokens per sequence (default: 64 or 128, by the size of the text; tune: 256, or the longest document)"},
    {"batch", at<&TrainConfig::batch>, everywhere, batches, 1, 1 << 16,
     "Sequences per batch (default: 8 or 16, by the size of the text; tune: for 2048 tokens)"},
    {"accumulate", at<&TrainConfig::accumulate>, train | tune, batches, 1, 1 << 16,
     "Batches whose gradients are added for one step (default: 1)"},
    {"workers", at<&TrainConfig::workers>, train | tune, batches, 1, 1 << 10,
     "Parts of a batch whose gradients are computed one by one and then added, on any number of processes with the same "
     "result; a power of two (default: 1; started by mpirun: 8)"},
    {"rounded_sums", at<&TrainConfig::rounded_sums>, train | tune, batches, 0, 0,
     "Add and send the gradients of the workers as bfloat16: half the traffic"},
    {"local_steps", at<&TrainConfig::local_steps>, train | tune, batches, 0, many,
     "Steps in which each process trains a copy of the model by itself, before all take the mean of what they have learned, "
     "for machines with a slow line between them; 0: none, every step is common (default: 0)"},
    {"outer_learning_rate", at<&TrainConfig::outer_learning_rate>, train | tune, batches, 0, 10,
     "With --local-steps: how much of that mean is taken (default: 1)"},
    {"outer_momentum", at<&TrainConfig::outer_momentum>, train | tune, batches, 0, 0.9999,
     "With --local-steps: how much of it is taken again after each later round (default: 0.5)"},
    {"carry_state", at<&TrainConfig::carry_state>, train | tune, batches, 0, 0,
     "Sequences continue where they stopped, with their state"},
    {"cubic_order", at<&TrainConfig::cubic_order>, train, batches, 0, 0,
     "Read windows in the order of RWKV-LM, by the cube of their number modulo a prime, instead of epochs in random order"},
    {"chunk", at<&TrainConfig::chunk>, train | tune, batches, 0, 1 << 20,
     "Tokens of a sequence that are computed at once, with exact gradients from one chunk to the other; 0: all (default: "
     "0; tune: 512)"},
    {"recompute", at<&TrainConfig::recompute>, train | tune, batches, 0, 0,
     "Compute every block twice, to need the memory of one block instead of all"},
    {"seed", at<&TrainConfig::seed>, everywhere, batches, 0, 0,
     "Seed of the initialization and of the order of the text; random: draw one (default: 1)"},

    {"learning_rate", at<&TrainConfig::schedule, &Schedule::start>, everywhere, learning, 0, 10,
     "Learning rate after the warm-up (default: that of the recipe for the width, four times that with --optimizer muon; "
     "tune: by --method and width)"},
    {"final_learning_rate", at<&TrainConfig::schedule, &Schedule::end>, everywhere, learning, 0, 10,
     "Learning rate at the end (default: a small part of --learning-rate; with --optimizer muon 0, except in tune)"},
    {"schedule", at<&TrainConfig::schedule, &Schedule::kind>, everywhere, learning, 0, 0,
     "How the learning rate falls: constant (not at all), linear, cosine, exponential, sqrt (as 1 - sqrt), power (as the "
     "power 1.5 of what is left) (default: cosine; with --optimizer muon linear, except in tune)"},
    {"cooldown", at<&TrainConfig::schedule, &Schedule::cooldown>, everywhere, learning, 0.001, 1,
     "Share of the steps after the warm-up, at the end, in which it falls; before, it stays (default: 1)"},
    {"warmup", at<&TrainConfig::schedule, &Schedule::warmup>, everywhere, learning, 0, many,
     "Steps in which the learning rate rises (default: 50, tune: 20, at most a fifth of the steps)"},
    {"fit_warmup", at<&TrainConfig::schedule, &Schedule::fit_warmup>, none, learning, 0, 0,
     "Make the warm-up at most a fifth of the steps once they are known"},
    {"warmup_from", at<&TrainConfig::schedule, &Schedule::warmup_from>, train | tune, learning, 0, 1,
     "Fraction of the learning rate at the first step (default: 0.01)"},
    {"learning_rate_scales", at<&TrainConfig::learning_rate_scales>, train | tune, learning, 0, 1000,
     "NAME=FACTOR, for the parameters whose name contains NAME (a layer: blocks.0.); can be repeated "
     "(default: 1 for all)",
     false, "learning-rate-scale"},
    {"optimizer", at<&TrainConfig::optimizer>, everywhere, learning, 0, 0,
     "adamw, lion, or muon (matrices by Muon, all else by AdamW) (default: adamw; --preset quickstart: muon)"},
    {"muon_of", at<&TrainConfig::muon_of>, everywhere, learning, 0, 0,
     "Parts of the names of the matrices that Muon moves, as att.key,ffn (default: blocks., all of the blocks)"},
    {"muon_rate", at<&TrainConfig::muon_rate>, everywhere, learning, 0, 1000,
     "Factor of the learning rate of what Muon moves (default: 1)"},
    {"momentum", at<&TrainConfig::momentum>, everywhere, learning, 0, 0.9999,
     "Momentum of Muon (default: 0.95)"},
    {"momentum_warmup", at<&TrainConfig::momentum_warmup>, everywhere, learning, 0, many,
     "Steps in which the momentum of Muon rises from 0.85 (default: 300)"},
    {"beta1", at<&TrainConfig::beta1>, train | tune, learning, 0, 0.999999,
     "beta1 of AdamW (default: that of the recipe, 0.9)"},
    {"beta2", at<&TrainConfig::beta2>, train | tune, learning, 0, 0.999999999,
     "beta2 of AdamW (default: that of the recipe, 0.99)"},
    {"epsilon", at<&TrainConfig::epsilon>, train | tune, learning, 0, 1,
     "epsilon of AdamW (default: that of the recipe; tune: 1e-8 unless all weights are trained)"},
    {"weight_decay", at<&TrainConfig::weight_decay>, train | tune, learning, 0, 100,
     "Weight decay of matrices (default: 0.1, or 0 if the recipe has none; tune: 0)"},
    {"final_weight_decay", at<&TrainConfig::final_weight_decay>, train | tune, learning, -1, 100,
     "Weight decay at the end, reached in a straight line; -1: as at the beginning (default: -1)"},
    {"cautious_decay", at<&TrainConfig::cautious_decay>, everywhere, learning, 0, 0,
     "Weight decay only of numbers that the step makes smaller"},
    {"ema", at<&TrainConfig::ema>, train | tune, learning, 0, 0.999999,
     "Also keep a moving average of the weights, of which this share stays in each step (default: 0, none)"},
    {"changes", at<&TrainConfig::changes>, train | tune, learning, 0, 1e6,
     "SHARE:NAME=VALUE: from this share of the run on, another accumulate, beta1, beta2, momentum, weight-decay, dropout or "
     "clip, as 0.5:accumulate=2; can be repeated (default: none)", false, "change"},
    {"roll_back", at<&TrainConfig::roll_back>, train | tune, learning, 0, 0,
     "When the loss has risen and does not come back, go on nevertheless, not from the last checkpoint"},
    {"clip", at<&TrainConfig::clip>, train | tune, learning, 0, 1e9,
     "Largest norm of the gradient; 0: no clipping (default: that of the recipe, 1)"},
    {"dropout", at<&TrainConfig::dropout>, train, learning, 0, 0.95,
     "Probability of setting an element to zero (default: 0)"},
    {"dropout_at", at<&TrainConfig::dropout_at>, train, learning, 0, 0,
     "Some of att, ffn: x + d(att(x)), x + d(ffn(x)); after_att, after_ffn: d(x + att(x)), d(x + ffn(x)) "
     "(default: att,ffn)"},
    {"l2wrap", at<&TrainConfig::l2wrap>, train | tune, learning, 0, 0,
     "Without the penalty on the largest logit (default: as in the recipe)"},
    {"precision", at<&TrainConfig::precision>, everywhere, learning, 0, 0,
     "Precision of matrix products: f32, bf16 (default: the fastest on this CPU)"},

    {"validation_bytes", at<&TrainConfig::validation_bytes>, everywhere, output, -1, 1e15,
     "Bytes at the end of the text to validate with, as 20000 or 20K (default: a tenth, at most 200,000; "
     "compare: 50,000)",
     false, nullptr, true},
    {"validate_every", at<&TrainConfig::validate_every>, everywhere, output, -1, many,
     "Steps between validations; 0: only at the end (default: 20 times in a run; compare: 10 times)"},
    {"checkpoint_every", at<&TrainConfig::checkpoint_every>, train | tune, output, 0, many,
     "Steps between checkpoints, in addition to one every minute (default: 0, only one every minute)"},
    {"sample_every", at<&TrainConfig::sample_every>, train | tune, output, -1, many,
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
    } else if constexpr (std::is_same_v<Value, WeightsByName>) {
      for (const auto& [name, factor] : value) between(setting.flag_text() + " " + name, factor);
    }
  });
}

}  // namespace aviary
