// The training loop with its user interface: status line, log, samples, checkpoints, loss curve, Ctrl-C.
#pragma once

#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "train/trainer.h"

namespace aviary {

struct SessionOptions {
  std::filesystem::path folder;
  double checkpoint_seconds = 60;           // in addition to config.checkpoint_every
  std::string sample_prompt;                // what samples begin with
  std::optional<int32_t> begin_token = {};  // read before it
  std::string label = "train";              // for the status line
  int64_t validation_tokens = 20000;   // used for validation during training, 0: all; at the end all are used
  int64_t validation_window = 0;       // Trainer::validate
  bool tell_validation = true;         // one line each
  double used_seconds = 0;             // of TrainConfig::minutes, before the session
  std::function<double()> clock = {};  // in seconds; by default that of the system
  std::FILE* out = stdout;
};

// What samples begin with unless the user says: "The ", or, where the vocabulary cannot spell that, the first
// characters of the text.
std::string usual_sample_prompt(const Tokenizer& tokenizer, TokenSpan text);

enum class SessionEnd : uint8_t { finished, gets_worse, interrupted };

// Trains until the last step, an interrupt (base/interrupt.h), or the result gets worse
// (Trainer::gets_worse), and then writes a checkpoint. A run that tunes a model validates before its first
// step, too, and keeps its best result. A sample, a curve or a line of the log that cannot be made becomes a
// note. Throws Error if the loss remains not finite; the last good checkpoint is kept.
SessionEnd run_session(Trainer& trainer, const SessionOptions& options);

}  // namespace aviary
