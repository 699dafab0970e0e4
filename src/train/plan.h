// Sizes and steps for a text, so that `aviary train book.txt` needs no flags.
#pragma once

#include "train/config.h"

namespace aviary {

// A config for a text of so many bytes: model, vocabulary (0: bytes), batch and learning rates. The steps
// follow from plan_steps once the text is tokenized.
TrainConfig plan_training(int64_t bytes, const std::string& version, const std::string& recipe);

// Sets what the recipe of config.model says: betas, epsilon, clipping, whether matrices decay, and learning
// rates for its width.
void apply_recipe(TrainConfig& config);

// The settings of ./quickstart: a fixed number of steps on five novels.
TrainConfig quickstart_config();

// Steps that pass over the tokens as often as pays: small texts many times, large ones a few.
int64_t plan_steps(int64_t tokens, const TrainConfig& config);

}  // namespace aviary
