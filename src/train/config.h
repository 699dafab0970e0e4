// Everything that decides what a training run computes; kept in the run's folder so that it can go on bit for
// bit.
#pragma once

#include <map>
#include <string>

#include "kernels/matmul.h"
#include "models/config.h"
#include "ops/context.h"
#include "train/schedule.h"

namespace aviary {

// Factors of the learning rate: of every parameter whose name contains the text ("blocks.0.", "time_decay").
using LearningRateScales = std::map<std::string, double>;

// What each member means to a user stands in the table of settings (train/settings.h).
struct TrainConfig {
  ModelConfig model;
  std::string text;       // the file
  std::string text_hash;  // xxh64 of its bytes
  std::string tokenizer = "world";
  int64_t validation_bytes = -1;  // the end of the text; -1: the corpus decides
  int64_t context = 128;          // tokens of a sequence in a step
  int64_t batch = 16;             // sequences of a pass
  int64_t accumulate = 1;         // passes whose gradients make one step
  bool carry_state = false;       // sequences go on where they stopped, with their state
  Schedule schedule;
  double minutes = 0;  // > 0: the steps follow from the speed of the first ones, so that they last so long
  double beta1 = 0.9, beta2 = 0.99, epsilon = 1e-18, weight_decay = 0, clip = 1;
  LearningRateScales learning_rate_scales{};
  double dropout = 0;
  std::string dropout_at = "att,ffn";  // and after_att, after_ffn: where
  bool l2wrap = true;
  kernels::Precision precision = kernels::Precision::f32;
  uint64_t seed = 1;
  int64_t checkpoint_every = 0;  // steps; 0: by the clock and at the end
  int64_t validate_every = -1,
          sample_every = -1;  // steps; 0: never but at the end; -1: some times in the run

  int64_t tokens_per_step() const { return context * batch * accumulate; }
};

std::string to_json(const TrainConfig& config);
// Settings that are not there have their defaults, so that runs of older programs go on. Throws Error that
// names the setting, also for one that this program does not know.
TrainConfig train_config_from_json(const std::string& text, const std::string& where);

// The places that a dropout_at names. Throws Error.
DropoutPlaces dropout_places(const std::string& dropout_at);

std::string name_of(kernels::Precision precision);
// Throws Error for another name than f32 and bf16.
kernels::Precision precision_of(const std::string& name);

// Throws Error for values that cannot be, naming the flag.
void check(const TrainConfig& config);

}  // namespace aviary
