// A training run: its folder, its checkpoints, its loop.
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/random.h"
#include "data/batch_source.h"
#include "data/corpus.h"
#include "models/run.h"
#include "text/tokenizer.h"
#include "train/config.h"
#include "train/optimizer.h"

namespace aviary {

// One line of the log.
struct StepReport {
  int64_t step = 0;  // steps done
  double loss = 0;   // nats per token, before the update
  double learning_rate = 0, gradient_norm = 0;
  double seconds = 0;                    // of this step
  double validation_bits_per_byte = -1;  // if measured after this step
};

// The state of a run between two steps. The folder contains
//   config.json              the settings
//   checkpoint.safetensors   weights, moments, carried state, position: everything for --resume
//   model.safetensors        only the weights, for all other uses
//   log.jsonl, loss.svg      one line per step; the loss curve
// Every file is replaced atomically, so that a run can be killed at any moment.
class Trainer {
 public:
  // A new run; initializes the weights from the seed. `source`: the source of batches; null: from `data`,
  // according to the config.
  Trainer(TrainConfig config, TokenizerPtr tokenizer, Corpus data,
          std::unique_ptr<BatchSource> source = nullptr);
  // Resumes from the checkpoint of `folder`; `data` must be made from the same text. Throws Error if the
  // checkpoint is damaged, of another run, or was trained with another tokenizer.
  void load(const std::filesystem::path& folder);
  // Writes checkpoint.safetensors and model.safetensors.
  void save(const std::filesystem::path& folder) const;

  StepReport step();
  // Bits per byte on the validation text (its first `tokens`; 0: all), with a fresh state: the text as a
  // whole or, if `window` is above 0, in windows of that many tokens. A model whose state grows with the text
  // is only trained for contexts of the trained length, which is its default window.
  double validate(int64_t tokens = 0, int64_t window = 0);

  int64_t steps_done() const { return step_; }
  // Changes the number of steps of the run, not below those already done.
  void set_steps(int64_t steps) { config_.schedule.steps = std::max(steps, step_); }
  bool finished() const { return config_.schedule.steps && step_ >= *config_.schedule.steps; }
  const TrainConfig& config() const { return config_; }
  Runner& runner() { return runner_; }
  Model& model() { return *model_; }
  const Model& model() const { return *model_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const Corpus& data() const { return data_; }
  // Number of consecutive steps whose gradient was not finite and which therefore changed nothing.
  int64_t broken_steps() const { return broken_steps_; }

 private:
  // Accumulates the gradients of the passes of the next step; returns its loss.
  double gather_gradients();
  // Resets the state of the sequences that start fresh.
  void prepare_states(const Batch& batch);

  TrainConfig config_;
  TokenizerPtr tokenizer_;
  Corpus data_;
  std::unique_ptr<Model> model_;
  Runner runner_;
  Optimizer optimizer_;
  std::vector<State> states_;  // of the sequences of a batch
  Random dropout_random_;
  int64_t step_ = 0, broken_steps_ = 0;
  std::unique_ptr<BatchSource> source_;
};

// The config in a run folder. Throws Error if the folder is not one.
TrainConfig read_run_config(const std::filesystem::path& folder);
void write_run_config(const std::filesystem::path& folder, const TrainConfig& config);
// The tokenizer of a run with a checkpoint.
TokenizerPtr read_run_tokenizer(const std::filesystem::path& folder);

}  // namespace aviary
