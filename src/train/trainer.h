// A training run: its folder, its checkpoints, its loop.
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/random.h"
#include "formats/tensor_file.h"
#include "models/run.h"
#include "ranks/ranks.h"
#include "text/tokenizer.h"
#include "train/config.h"
#include "train/optimizer.h"
#include "train/outer_step.h"
#include "train/spike_guard.h"
#include "train/trained_parts.h"
#include "train/training_data.h"
#include "train/worker_sum.h"

namespace aviary {

// One line of the log.
struct StepReport {
  int64_t step = 0;  // steps done
  double loss = 0;   // nats per token, before the update
  double learning_rate = 0, gradient_norm = 0;
  double seconds = 0;                    // of this step
  bool astray = false;                   // SpikeGuard: the loss has risen and does not come back
  double validation_bits_per_byte = -1;  // if measured after this step
  double average_bits_per_byte = -1;     // the same of the moving average of the weights
  // With several ranks: the share of the seconds in which rank 0 waited for the others or sent, and the rank
  // that computed longest. With TrainConfig::local_steps: of all steps of the round that ended with this one;
  // slowest is -1 after the others, whose loss and norm are those of rank 0.
  double waiting = 0;
  int64_t slowest = -1;
};

// The state of a run between two steps. The folder contains
//   config.json              the settings
//   checkpoint.safetensors   trained weights, moments, carried state, position: everything for --resume
//   the result               model.safetensors: all weights of the model, for all other uses; of a run that
//                            tunes a model in another way, adapter.safetensors or state.safetensors
//   log.jsonl, loss.svg      one line per step; the loss curve
//   samples.jsonl            what the model wrote in between, one line each
// Every file is replaced atomically, so that a run can be killed at any moment.
//
// Several ranks make the same Trainer. Rank 0 uses it as if it were alone, and the others follow(): what
// rank 0 does that needs them, they do too.
class Trainer {
 public:
  // A new run, with the weights that the model has. `source`: the source of batches; null: that of the data.
  Trainer(TrainConfig config, std::unique_ptr<Model> model, TokenizerPtr tokenizer,
          std::shared_ptr<const TrainingData> data, std::unique_ptr<BatchSource> source = nullptr,
          Ranks& ranks = alone());
  // The same with a new model, whose weights are initialized from the seed, on a text.
  Trainer(TrainConfig config, TokenizerPtr tokenizer, Corpus data,
          std::unique_ptr<BatchSource> source = nullptr);
  // Resumes from the checkpoint of `folder`; `data` must be made from the same text. Throws Error if the
  // checkpoint is damaged, of another run, or was trained with another tokenizer.
  void load(const std::filesystem::path& folder);
  // Writes checkpoint.safetensors and, unless the run keeps its best result, the result. Not in mid-round.
  void save(const std::filesystem::path& folder) const;
  // Writes the result: what has been trained so far.
  void save_result(const std::filesystem::path& folder) const;
  // Further metadata of a result that is a whole model. By default that of a new model.
  void set_result_metadata(std::map<std::string, std::string> metadata) {
    result_metadata_ = std::move(metadata);
  }
  const char* result_file() const;  // result_file_of() its config

  StepReport step();
  // With TrainConfig::local_steps: whether every rank has steps of its own that the others do not know yet.
  bool in_round() const { return outer_ && step_ != round_began_; }
  // Ends such a round before its time.
  void end_round();
  // For all ranks but 0: takes part in what rank 0 does, until it calls end(). Signals to stop are left to
  // rank 0, whose stop_asked() tells it of them.
  void follow();
  void end() const { tell(Order::end, 0); }
  // Whether one of the other ranks had been asked to stop (base/interrupt.h) when the last step ended.
  bool stop_asked() const { return stop_asked_; }
  // Of the last step: Optimizer::layer_norms(). With TrainConfig::local_steps, those of this rank.
  std::span<const double> layer_norms() const { return optimizer_.layer_norms(); }
  const Ranks& ranks() const { return ranks_; }
  // Computes the gradients of one pass and forgets them, so that the run goes on as without it. Returns its
  // seconds.
  double try_pass();
  // Bits per byte on the validation part of the data (about `tokens` of it; 0: all), from the state that
  // texts begin with: a text as a whole or, if `window` is above 0, in windows of that many tokens. A model
  // whose state grows with the text is only trained for contexts of the trained length, which is its default
  // window. -1: no part is kept for validation.
  double validate(int64_t tokens = 0, int64_t window = 0);
  // Takes note of a validation. Returns whether it is the best one so far.
  bool note_validation(double bits_per_byte);
  double best_validation() const { return best_; }  // -1: none yet
  int64_t best_step() const { return best_step_; }
  // Whether the last config().tuning.patience validations brought nothing better.
  bool gets_worse() const {
    return config_.tuning.patience > 0 && config_.tuning.of_model() && worse_ >= config_.tuning.patience;
  }
  // The state that texts begin with.
  State first_state() const;
  // The same of the moving average of the weights, with TrainConfig::ema. -1: none is kept.
  double validate_average(int64_t tokens = 0, int64_t window = 0);

  int64_t steps_done() const { return step_; }
  // Changes the number of steps of the run, not below those already done. A run that had become worse goes
  // on.
  void set_steps(int64_t steps) {
    tell(Order::set_steps, steps);
    config_.schedule.set_steps(steps, step_);
    worse_ = 0;
  }
  // Corrects the number of steps of a run by minutes (Schedule::correct).
  void correct_steps(int64_t steps) {
    tell(Order::correct_steps, steps);
    config_.schedule.correct(steps, step_);
  }
  bool finished() const { return config_.schedule.steps && step_ >= *config_.schedule.steps; }
  const TrainConfig& config() const { return config_; }
  Runner& runner() { return runner_; }
  Model& model() { return *model_; }
  const Model& model() const { return *model_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const TrainingData& data() const { return *data_; }
  const TrainedParts& trained() const { return parts_; }
  int64_t tokens_per_step() const { return data_->tokens_per_step(config_); }
  // Number of numbers that are trained.
  int64_t trained_count() const;
  // Goes back to the checkpoint of `folder`, and on from there with the batches after those of the steps done
  // so far.
  void go_back(const std::filesystem::path& folder);
  // In words, where the numbers of the last step stopped being finite; "" if they did not.
  const std::string& broken_at() const { return broken_at_; }
  // Number of consecutive steps whose gradient was not finite and which therefore changed nothing.
  int64_t broken_steps() const { return broken_steps_; }

 private:
  // What rank 0 tells the others to do.
  enum class Order : uint8_t { step, end_round, save, load, go_back, set_steps, correct_steps, end };
  void tell(Order order, int64_t number) const;

  // Accumulates the gradients of the passes of the next step; returns its loss.
  double gather_gradients(StepReport& report);
  // The targets that count in the next step: of all workers or, with local_steps, of that of this rank.
  int64_t counted_targets();
  // Ends the round: the ranks agree on new weights.
  void meet();
  // The same for the sequences of one of the workers; `counted`: the targets of all.
  double worker_gradients(int64_t worker, int64_t counted);
  Range sequences_of(int64_t worker, const Batch& batch) const;
  // Takes the states of some sequences of a batch out of states_; those that start fresh are reset.
  std::vector<State> take_states(const Batch& batch, Range sequences);
  void put_back(std::vector<State> states, Range sequences);
  std::vector<TrainedWeight> saved_weights() const;
  // Accumulates the gradients of one pass; returns its loss.
  double pass_gradients(const Batch& batch, std::vector<State>& states, double share, Random& random);
  // Gives rank 0 what other ranks have of the checkpoint. collect_moments(): also those of others have values
  // then, in the result.
  std::vector<Optimizer::Moment> moments() const;  // of all ranks
  std::vector<OwnedTensor> collect_moments(std::vector<Optimizer::Moment>& moments) const;
  void collect_states() const;
  std::string steps_of_optimizers() const;
  void set_steps_of_optimizers(const TensorFile& facts, const std::string& where);
  void load_checkpoint(const std::filesystem::path& folder);
  void load_weights(const TensorFile& file, const std::string& where);
  void begin_step();
  int64_t first_pass() const;  // of this step
  std::string find_not_finite();
  double decay_now() const;  // the factor of the weight decay from TrainConfig::changes
  void add_to_averages();
  void save_result_to(const std::filesystem::path& path) const;
  // The weights become their moving averages, and these the weights.
  void swap_averages() const;
  // Whether the result on disk is that of the best validation.
  bool keeps_best() const { return config_.tuning.of_model() && best_ >= 0; }

  TrainConfig config_;
  TokenizerPtr tokenizer_;
  std::shared_ptr<const TrainingData> data_;
  std::unique_ptr<Model> model_;
  Runner runner_;
  TrainedParts parts_;
  Optimizer optimizer_;
  std::vector<OwnedTensor> averages_;  // of optimizer_.weights(), with TrainConfig::ema
  // Of the sequences of a batch. Those of other ranks' workers are brought up to date by collect_states().
  mutable std::vector<State> states_;
  TrainConfig now_;  // config_at() the next step
  Random dropout_random_;
  Ranks& ranks_;
  WorkerSum workers_;
  std::optional<OuterStep> outer_;  // with TrainConfig::local_steps
  // Of the current round: the step before its first one, seconds of all steps, of computing, of exchanges.
  int64_t round_began_ = 0;
  double round_seconds_ = 0, round_computing_ = 0, round_exchanging_ = 0;
  int64_t slowest_ = -1;  // rank in the last step that was common
  bool stop_asked_ = false;
  int64_t step_ = 0, broken_steps_ = 0;
  int64_t skipped_passes_ = 0;  // whose batches were left out by go_back()
  SpikeGuard guard_;
  std::string broken_at_;
  double best_ = -1;                   // validation
  int64_t best_step_ = 0, worse_ = 0;  // when that was, and validations since then
  std::unique_ptr<BatchSource> source_;
  std::map<std::string, std::string> result_metadata_;
};

// A model whose weights are initialized as the config says.
std::unique_ptr<Model> new_model(const TrainConfig& config);

// The config in a run folder. Throws Error if the folder is not one.
TrainConfig read_run_config(const std::filesystem::path& folder);
void write_run_config(const std::filesystem::path& folder, const TrainConfig& config);
// The file of the result in the folder of a run: "model.safetensors", "adapter.safetensors" or
// "state.safetensors".
const char* result_file_of(const TrainConfig& config);
// How far a run with a checkpoint is.
struct RunProgress {
  int64_t steps = 0;      // done
  double best = -1;       // validation, of a run that tunes a model; -1: none yet
  int64_t best_step = 0;  // when that was
};
// Throws Error if the folder has no checkpoint, or a damaged one.
RunProgress read_run_progress(const std::filesystem::path& folder);
// The tokenizer of a run with a checkpoint.
TokenizerPtr read_run_tokenizer(const std::filesystem::path& folder);

}  // namespace aviary
