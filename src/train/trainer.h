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
  double loss = 0;   // nats per token, before the step's update
  double learning_rate = 0, gradient_norm = 0;
  double seconds = 0;                    // of this step
  double validation_bits_per_byte = -1;  // when measured after this step
};

// The state of a run between two steps. The folder holds
//   config.json              the settings
//   checkpoint.safetensors   weights, moments, carried state, position: all that --resume needs
//   model.safetensors        the weights alone, for everything else
//   log.jsonl, loss.svg      one line per step; the loss curve
// Every file is replaced as a whole, so that a run can be killed at any moment.
class Trainer {
 public:
  // A new run; initializes the weights from the seed. `source`: where the batches come from; null: from
  // `data`, as the config says.
  Trainer(TrainConfig config, TokenizerPtr tokenizer, Corpus data,
          std::unique_ptr<BatchSource> source = nullptr);
  // Goes on with the checkpoint of `folder`; `data` must be made from the same text.
  void load(const std::filesystem::path& folder);
  // Writes checkpoint.safetensors and model.safetensors.
  void save(const std::filesystem::path& folder) const;

  StepReport step();
  // Bits per byte on the validation text (its first `tokens`; 0: all), from a fresh state: the text as a
  // whole, or, where `window` is above 0, in windows of so many tokens. A model whose state grows with the
  // text knows only contexts as long as the trained ones: by default those are its windows.
  double validate(int64_t tokens = 0, int64_t window = 0);

  int64_t steps_done() const { return step_; }
  // The length of the run from now on, but not less than what is done.
  void set_steps(int64_t steps) { config_.schedule.steps = std::max(steps, step_); }
  bool finished() const { return config_.schedule.steps && step_ >= *config_.schedule.steps; }
  const TrainConfig& config() const { return config_; }
  Runner& runner() { return runner_; }
  Model& model() { return *model_; }
  const Model& model() const { return *model_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const Corpus& data() const { return data_; }
  // Steps in a row whose gradient was not finite, and which changed nothing.
  int64_t broken_steps() const { return broken_steps_; }

 private:
  // Gradients of the passes of the next step; returns its loss.
  double gather_gradients();
  // Gives the sequences that begin anew a fresh state.
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

// The config of a run's folder. Throws Error when the folder is not one.
TrainConfig read_run_config(const std::filesystem::path& folder);
void write_run_config(const std::filesystem::path& folder, const TrainConfig& config);
// The tokenizer of a run that has a checkpoint.
TokenizerPtr read_run_tokenizer(const std::filesystem::path& folder);

}  // namespace aviary
