// All settings that determine the result of a training run; stored in the run folder so that the run can
// resume bit for bit.
#pragma once

#include <map>
#include <string>

#include "kernels/matmul.h"
#include "models/config.h"
#include "ops/context.h"
#include "train/schedule.h"

namespace aviary {

using WeightsByName = std::map<std::string, double>;
// Factors of the learning rate, for every parameter whose name contains the given text ("blocks.0.",
// "time_decay").
using LearningRateScales = WeightsByName;
// Settings that change in mid-run (train/changes.h): "0.5:beta2" and the value from half of the run on.
using Changes = WeightsByName;

// What `aviary tune` trains of a model that exists.
enum class TuneMethod : uint8_t {
  full,   // its parameters, or some of them
  lora,   // matrices B A beside its own (Hu et al. 2021, arXiv 2106.09685)
  pissa,  // the same, starting from the largest singular values (Meng et al. 2024, arXiv 2404.02948)
  miss,   // the same, with a fixed A of zeros and ones (Kang 2024, arXiv 2409.15371)
  state,  // the state that every text begins with
};
std::string name_of(TuneMethod method);
// Throws Error for an unknown name.
TuneMethod tune_method(const std::string& name);

// The rule that moves what is trained (train/update_rule.h).
enum class OptimizerKind : uint8_t {
  adamw,
  lion,
  muon,  // of matrices; AdamW of all else
};
std::string name_of(OptimizerKind kind);
// Throws Error for an unknown name.
OptimizerKind optimizer_kind(const std::string& name);

struct Tuning {
  std::string base = {};  // the file of the model; empty: the run begins with a new model
  std::string base_hash = {}, base_type = {}, base_name = {};  // BaseInfo
  std::string chat_template = {};  // of the conversations that are trained on; empty: there are none
  TuneMethod method = TuneMethod::full;
  int64_t rank = 16;
  double alpha = 32;         // B A is added alpha / rank times
  std::string targets = {};  // parts of the names of matrices that get an adapter, as "att.key,ffn"; empty:
                             // all of the blocks
  std::string layers = {};   // "4-11"; empty: all
  std::string parts = {};    // parts of the names of parameters that are trained themselves; empty: all with
                             // TuneMethod::full, otherwise none
  double dropout = 0;        // of the inputs of adapters
  double epochs = 3;         // over documents
  int64_t patience = 3;      // validations without a better result after which the run ends; 0: it does not

  bool of_model() const { return !base.empty(); }
};

// The table of settings (train/settings.h) explains each member to users.
struct TrainConfig {
  ModelConfig model;
  std::string text;       // the file
  std::string text_hash;  // xxh64 of its bytes
  WeightsByName data{};   // instead of the text: files of tokens or, of a run that tunes a model, documents,
                          // and how often each is read in an epoch
  Tuning tuning{};
  std::string rename{};                        // RowOptions::rename: "question=prompt,answer=completion"
  bool skip_broken = false, truncate = false;  // DocumentOptions
  double validation_share = 0.05;
  int64_t chunk = 0;       // tokens of a sequence that are computed at once; 0: all
  bool recompute = false;  // Runner::Training::recompute
  std::string tokenizer = "world";
  int64_t validation_bytes = -1;  // size of the validation text at the end; -1: chosen by the corpus
  int64_t context = 128;          // tokens per sequence of a step
  int64_t batch = 16;             // sequences per pass
  int64_t accumulate = 1;         // passes whose gradients are added for one step
  int64_t workers = 1;            // virtual workers that share the sequences of a step (WorkerSum)
  bool rounded_sums = false;      // whether the gradients of the workers are added as bfloat16
  int64_t local_steps = 0;        // > 0: steps in which every rank trains by itself (OuterStep)
  double outer_learning_rate = 1, outer_momentum = 0.5;  // of the OuterStep that ends such a round
  bool carry_state = false;  // sequences continue where they stopped, with their state
  bool cubic_order = false;  // windows are read in the order of RWKV-LM (CubicOrder)
  Schedule schedule;
  double minutes = 0;  // > 0: training time, which determines the steps
  OptimizerKind optimizer = OptimizerKind::adamw;
  std::string muon_of = "blocks.";  // parts of the names of matrices that Muon moves
  double muon_rate = 1;             // factor of the learning rate of what Muon moves
  double momentum = 0.95;           // of Muon
  int64_t momentum_warmup = 300;    // Muon::momentum_warmup
  bool cautious_decay = false;
  double final_weight_decay = -1;  // the decay moves there in a straight line; -1: it stays
  double ema = 0;                  // of the weights: the share that stays in each step; 0: none is kept
  bool roll_back = true;           // to the last checkpoint, if the loss rises and does not come back
  Changes changes{};
  double beta1 = 0.9, beta2 = 0.99, epsilon = 1e-18, weight_decay = 0, clip = 1;
  LearningRateScales learning_rate_scales{};
  double dropout = 0;
  std::string dropout_at = "att,ffn";  // where; also after_att, after_ffn
  bool l2wrap = true;
  kernels::Precision precision = kernels::Precision::f32;
  uint64_t seed = 1;
  int64_t checkpoint_every = 0;  // steps; 0: by time and at the end
  int64_t validate_every = -1,
          sample_every = -1;  // steps; 0: only at the end; -1: several times during the run

  int64_t tokens_per_step() const { return context * batch * accumulate; }
};

std::string to_json(const TrainConfig& config);
// Missing settings get their defaults, so that runs of older programs can resume. Throws Error naming the
// setting if one is invalid or unknown.
TrainConfig train_config_from_json(const std::string& text, const std::string& where);

// The places given by a dropout_at. Throws Error.
DropoutPlaces dropout_places(const std::string& dropout_at);

std::string name_of(kernels::Precision precision);
// Throws Error for any name except f32 and bf16.
kernels::Precision precision_of(const std::string& name);

// Throws Error for invalid values, naming the flag.
void check(const TrainConfig& config);

}  // namespace aviary
