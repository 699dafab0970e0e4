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

// Factors of the learning rate, for every parameter whose name contains the given text ("blocks.0.",
// "time_decay").
using LearningRateScales = std::map<std::string, double>;

// The table of settings (train/settings.h) explains each member to users.
struct TrainConfig {
  ModelConfig model;
  std::string text;       // the file
  std::string text_hash;  // xxh64 of its bytes
  std::string tokenizer = "world";
  int64_t validation_bytes = -1;  // size of the validation text at the end; -1: chosen by the corpus
  int64_t context = 128;          // tokens per sequence of a step
  int64_t batch = 16;             // sequences per pass
  int64_t accumulate = 1;         // passes whose gradients are added for one step
  bool carry_state = false;       // sequences continue where they stopped, with their state
  Schedule schedule;
  double minutes = 0;  // > 0: training time, which determines the steps
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
