// The loop of a run as a user sees it: live line, log, samples, checkpoints, loss curve, Ctrl-C.
#pragma once

#include <cstdio>
#include <filesystem>
#include <string>

#include "train/trainer.h"

namespace aviary {

struct SessionOptions {
  std::filesystem::path folder;
  double checkpoint_seconds = 60;  // besides config.checkpoint_every
  std::string sample_prompt;
  std::string label = "train";        // of the live line
  int64_t validation_tokens = 20000;  // looked at during training, 0: all; the end looks at all
  int64_t validation_window = 0;      // Trainer::validate
  bool tell_validation = true;        // a line for each
  std::FILE* out = stdout;
};

enum class SessionEnd : uint8_t { finished, interrupted };

// Trains until the last step or Ctrl-C; both end with a checkpoint. Throws Error when the loss stays not
// finite, with the last good checkpoint left in place.
SessionEnd run_session(Trainer& trainer, const SessionOptions& options);

}  // namespace aviary
