#include "train/trainer.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <span>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "checkpoints/adapter_writer.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/state_writer.h"
#include "eval/evaluate.h"
#include "formats/safetensors.h"
#include "kernels/kernels.h"
#include "models/cost.h"
#include "models/registry.h"
#include "train/changes.h"
#include "train/long_pass.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

constexpr const char* checkpoint_file = "checkpoint.safetensors";
constexpr const char* model_file = "model.safetensors";
constexpr const char* config_file = "config.json";
constexpr const char* fingerprint_key = "aviary.fingerprint";
constexpr const char *best_key = "aviary.best_validation", *best_step_key = "aviary.best_step",
                     *worse_key = "aviary.validations_since_best";

TensorEntry entry_of(const std::string& name, const Tensor& tensor) {
  TensorEntry entry{.name = name, .dtype = tensor.dtype(), .shape = {}, .data = {}};
  for (int i = 0; i < tensor.shape().rank(); ++i) entry.shape.push_back(tensor.shape()[i]);
  entry.data = {static_cast<const std::byte*>(tensor.data()), static_cast<size_t>(tensor.bytes())};
  return entry;
}

// A hash of all data in the order of the file, so that damage anywhere in a checkpoint is detected.
std::string fingerprint_of(std::span<const TensorEntry> entries) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (const TensorEntry& entry : entries) XXH3_64bits_update(&state, entry.data.data(), entry.data.size());
  return fmt::format("{:016x}", XXH3_64bits_digest(&state));
}

void read_tensor(const TensorFile& file, const std::string& where, const std::string& name,
                 const Tensor& to) {
  const TensorEntry* entry = file.find(name);
  require(entry && entry->dtype == to.dtype() && static_cast<int64_t>(entry->data.size()) == to.bytes(),
          "{}: {} is missing or of another size: not a checkpoint of this run", where, name);
  std::memcpy(to.data(), entry->data.data(), entry->data.size());
}

int64_t read_number(const TensorFile& file, const std::string& where, const char* name) {
  auto found = file.metadata().find(name);
  require(found != file.metadata().end() && !found->second.empty() &&
              found->second.find_first_not_of("0123456789") == std::string::npos && found->second.size() < 19,
          "{}: the metadata entry {} is missing or not a number: not a checkpoint of a run", where, name);
  return std::stoll(found->second);
}

// The tokenizer of a checkpoint.
TokenizerPtr tokenizer_in(const TensorFile& file, const std::string& where) {
  auto kind = file.metadata().find("aviary.tokenizer"),
       vocabulary = file.metadata().find("aviary.vocabulary");
  require(kind != file.metadata().end(), "{}: the checkpoint names no tokenizer", where);
  return make_tokenizer(kind->second,
                        vocabulary == file.metadata().end() ? std::string_view() : vocabulary->second);
}

// Tokens that each carried state has read, as "128 128 0". Release 0.1 did not save them; its runs go on from
// 0.
std::string positions_of(const std::vector<State>& states) {
  std::string text;
  for (const State& state : states) text += fmt::format("{}{}", text.empty() ? "" : " ", state.position());
  return text;
}

void set_positions(std::vector<State>& states, const std::string& text, const std::string& where) {
  std::istringstream numbers(text);
  for (State& state : states) {
    int64_t position = -1;
    require(numbers >> position && position >= 0,
            "{}: the metadata entry aviary.state_positions is \"{}\", expected {} numbers", where, text,
            states.size());
    state.set_position(position);
  }
}

Model& with_scales(Model& model, const TrainConfig& config) {
  for (const auto& [name, factor] : config.learning_rate_scales) {
    int64_t found = 0;
    for (Parameter& parameter : model.parameters())
      if (parameter.spec.name.find(name) != std::string::npos) {
        parameter.spec.learning_rate_scale *= factor;
        ++found;
      }
    require(found > 0,
            "--learning-rate-scale {}={:g}: no parameter of the model has this in its name; aviary inspect "
            "--tensors lists the names",
            name, factor);
  }
  return model;
}

}  // namespace

std::unique_ptr<Model> new_model(const TrainConfig& config) {
  auto model = create_model(config.model);
  model->parameters().initialize(config.seed);
  return model;
}

Trainer::Trainer(TrainConfig config, TokenizerPtr tokenizer, Corpus data, std::unique_ptr<BatchSource> source)
    : Trainer(config, new_model(config), std::move(tokenizer), std::make_shared<TextData>(std::move(data)),
              std::move(source)) {}

Trainer::Trainer(TrainConfig config, std::unique_ptr<Model> model, TokenizerPtr tokenizer,
                 std::shared_ptr<const TrainingData> data, std::unique_ptr<BatchSource> source)
    : config_(std::move(config)),
      tokenizer_(std::move(tokenizer)),
      data_(std::move(data)),
      model_(std::move(model)),
      runner_(*model_, config_.precision),
      parts_(with_scales(*model_, config_), config_),
      optimizer_(*model_, parts_.groups(), config_.clip),
      states_(runner_.new_states(config_.batch)),
      dropout_random_(Random(config_.seed).split(2)),
      source_(source ? std::move(source) : data_->source(config_)),
      result_metadata_{{begin_token_key, begin_with_nothing}} {
  config_.model = model_->config();
  now_ = config_;
  if (config_.ema <= 0) return;
  require(model_->dtype() == Dtype::f32, "--ema: the weights have to be float32");
  for (const TrainedWeight& trained : optimizer_.weights()) {
    averages_.emplace_back(trained.spec->shape, Dtype::f32);
    copy(trained.weight->value(), averages_.back().view());
  }
}

void Trainer::prepare_states(const Batch& batch) {
  const int64_t sequences = batch.sequences.count();
  if (std::ssize(states_) != sequences) {
    require(std::find(batch.fresh.begin(), batch.fresh.end(), false) == batch.fresh.end(),
            "train: a batch of {} sequences cannot go on with the states of {}", sequences, states_.size());
    states_ = runner_.new_states(sequences);
  }
  for (size_t s = 0; s < states_.size(); ++s)
    if (batch.fresh[s]) parts_.begin(states_[s]);
}

double Trainer::pass_gradients(const Batch& batch, double share) {
  const Runner::Training training{.loss = {.scale = share, .l2wrap = config_.l2wrap},
                                  .dropout = {.probability = now_.dropout,
                                              .places = dropout_places(config_.dropout_at),
                                              .adapters = config_.tuning.dropout,
                                              .random = &dropout_random_},
                                  .first_state = parts_.has_first_state(),
                                  .recompute = config_.recompute};
  const LongPass pass{.chunk = config_.chunk};
  const bool is_long = config_.chunk > 0 && pass.chunks(batch.sequences) > 1;
  const double loss =
      is_long ? long_loss_and_gradients(runner_, batch, states_, training, pass)
              : runner_.loss_and_gradients(batch.tokens, batch.targets, batch.sequences, states_, training);
  parts_.add_state_gradients(runner_, batch.fresh);
  return loss;
}

// The gradient of a step is that of the mean over all its counted targets, in whichever pass they are.
double Trainer::gather_gradients() {
  const int64_t passes = now_.accumulate, first = passes_before(config_, step_);
  int64_t counted = 0;
  for (int64_t pass = 0; passes > 1 && pass < passes; ++pass)
    counted += source_->batch(first + pass).counted();
  double loss = 0;
  for (int64_t pass = 0; pass < passes; ++pass) {
    const Batch& batch = source_->batch(first + pass);
    prepare_states(batch);
    require(passes > 1 || batch.counted() > 0, "train: the batch has no target");
    if (passes > 1 && counted > 0 && batch.counted() == 0) {  // its tokens are read nevertheless
      runner_.logits(batch.tokens, batch.sequences, states_, {});
      continue;
    }
    require(passes == 1 || counted > 0, "train: the batches of the step have no target");
    const double share =
        passes > 1 ? static_cast<double>(batch.counted()) / static_cast<double>(counted) : 1.0;
    loss += share * pass_gradients(batch, share);
  }
  return loss;
}

// The settings of this step.
void Trainer::begin_step() {
  if (config_.changes.empty()) return;
  now_ = config_at(config_, step_);
  parts_.set_rules(now_);
  optimizer_.set_clip(now_.clip);
}

double Trainer::decay_now() const {
  return config_.weight_decay > 0 ? now_.weight_decay / config_.weight_decay : 1;
}

// The first averages are of few steps: of t steps, at most (1 + t) / (10 + t) stays.
void Trainer::add_to_averages() {
  const double t = static_cast<double>(optimizer_.steps());
  const auto keep = static_cast<float>(std::min(config_.ema, (1 + t) / (10 + t)));
  size_t i = 0;
  if (!averages_.empty())
    for (const TrainedWeight& trained : optimizer_.weights()) {
      const Tensor average = averages_[i++].view();
      kernels::add_to_average(average.as<float>(), trained.weight->value().as<float>(), keep,
                              average.count());
    }
}

void Trainer::swap_averages() const {
  size_t i = 0;
  if (!averages_.empty())
    for (const TrainedWeight& trained : optimizer_.weights()) {
      const Tensor average = averages_[i++].view();
      float *one = average.as<float>(), *other = trained.weight->value().as<float>();
      std::swap_ranges(one, one + average.count(), other);
      trained.weight->changed();
    }
}

StepReport Trainer::step() {
  const auto start = std::chrono::steady_clock::now();
  StepReport report{.learning_rate = config_.schedule.rate(step_)};
  begin_step();
  report.loss = gather_gradients();
  report.gradient_norm =
      optimizer_.step(report.learning_rate, weight_decay_scale(config_, step_) * decay_now());
  parts_.restrain();
  broken_steps_ = std::isfinite(report.gradient_norm) ? 0 : broken_steps_ + 1;
  if (broken_steps_ > 0)
    for (State& state : states_) parts_.begin(state);
  else
    add_to_averages();
  report.step = ++step_;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

double Trainer::try_pass() {
  const uint64_t counter = dropout_random_.counter();
  const std::vector<State> states = states_;
  const Batch& batch = source_->batch(step_ * config_.accumulate);
  const auto start = std::chrono::steady_clock::now();
  prepare_states(batch);
  if (batch.counted() > 0) pass_gradients(batch, 1);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  optimizer_.forget_gradients();
  states_ = states;
  dropout_random_ = Random(dropout_random_.seed(), counter);
  return seconds;
}

double Trainer::validate(int64_t tokens, int64_t window) {
  if (window == 0 && token_cost(*model_).state_growth > 0) window = config_.context;
  const Evaluation result = data_->validate(runner_, *tokenizer_, first_state(), tokens, window);
  return result.bytes > 0 ? result.bits_per_byte() : -1;
}

double Trainer::validate_average(int64_t tokens, int64_t window) {
  if (averages_.empty()) return -1;
  swap_averages();
  const double bits = validate(tokens, window);
  swap_averages();
  return bits;
}

bool Trainer::note_validation(double bits_per_byte) {
  if (bits_per_byte < 0) return false;
  if (!std::isfinite(bits_per_byte) || (best_ >= 0 && bits_per_byte >= best_)) {
    ++worse_;
    return false;
  }
  best_ = bits_per_byte;
  best_step_ = step_;
  worse_ = 0;
  return true;
}

State Trainer::first_state() const {
  State state = runner_.new_state();
  parts_.begin(state);
  return state;
}

int64_t Trainer::trained_count() const {
  int64_t count = 0;
  for (const TrainedWeight& trained : optimizer_.weights()) count += trained.spec->shape.count();
  return count;
}

const char* result_file_of(const TrainConfig& config) {
  switch (config.tuning.method) {
    case TuneMethod::full:
      return model_file;
    case TuneMethod::state:
      return "state.safetensors";
    default:
      return "adapter.safetensors";
  }
}

const char* Trainer::result_file() const { return result_file_of(config_); }

// The weights in a checkpoint: what is trained, and with TuneMethod::full the rest of the model as well.
std::vector<TrainedWeight> Trainer::saved_weights() const {
  if (config_.tuning.method != TuneMethod::full) return optimizer_.weights();
  std::vector<TrainedWeight> weights;
  for (Parameter& parameter : model_->parameters()) weights.emplace_back(parameter);
  return weights;
}

void Trainer::save(const fs::path& folder) const {
  std::map<std::string, std::string> metadata = {
      {"aviary.step", std::to_string(step_)},
      {"aviary.optimizer_steps", std::to_string(optimizer_.steps())},
      {"aviary.dropout_counter", std::to_string(dropout_random_.counter())},
  };
  std::vector<TensorEntry> entries;
  std::vector<OwnedTensor> carried;
  for (const TrainedWeight& saved : saved_weights())
    entries.push_back(entry_of(saved.spec->name, saved.weight->value()));
  for (const Optimizer::Moment& moment : optimizer_.moments())
    entries.push_back(entry_of(moment.name, moment.values));
  for (size_t i = 0; i < averages_.size(); ++i)
    entries.push_back(entry_of("ema." + optimizer_.weights()[i].spec->name, averages_[i].view()));
  if (config_.carry_state)
    for (size_t i = 0; i < model_->state_specs().size(); ++i) {
      carried.push_back(stacked(states_, i));
      entries.push_back(entry_of("state." + model_->state_specs()[i].name, carried.back().view()));
    }
  if (config_.carry_state) metadata["aviary.state_positions"] = positions_of(states_);
  if (best_ >= 0) {
    metadata[best_key] = fmt::format("{}", best_);  // the shortest text that gives the same number
    metadata[best_step_key] = std::to_string(best_step_);
    metadata[worse_key] = std::to_string(worse_);
  }
  metadata["aviary.tokenizer"] = tokenizer_->kind();
  if (std::string vocabulary = tokenizer_->serialize(); !vocabulary.empty())
    metadata["aviary.vocabulary"] = vocabulary;
  metadata[fingerprint_key] = fingerprint_of(entries);
  write_safetensors(folder / checkpoint_file, unchanged(entries), metadata);
  if (!keeps_best()) save_result(folder);
  if (averages_.empty()) return;
  swap_averages();
  save_result_to(folder / fmt::format("ema-{}", result_file()));
  swap_averages();
}

void Trainer::save_result(const fs::path& folder) const { save_result_to(folder / result_file()); }

void Trainer::save_result_to(const fs::path& path) const {
  const Tuning& tuning = config_.tuning;
  const BaseInfo base{.hash = tuning.base_hash,
                      .type = tuning.base_type,
                      .name = tuning.base_name,
                      .version = config_.model.version};
  if (tuning.method == TuneMethod::full) {
    std::map<std::string, std::string> metadata = result_metadata_;
    metadata["aviary.step"] = std::to_string(step_);
    return save_checkpoint(path, *model_, tokenizer_.get(), metadata);
  }
  if (tuning.method == TuneMethod::state)
    return save_state(path, first_state(), *model_, {.base = base, .trained_on = config_.text});
  std::vector<TensorEntry> whole;
  for (const TrainedWeight& parameter : parts_.parameters())
    whole.push_back(entry_of(parameter.spec->name, parameter.weight->value()));
  const int64_t rank = tuning.method == TuneMethod::pissa ? 2 * tuning.rank : tuning.rank;
  write_adapter(path,
                {.method = name_of(tuning.method),
                 .alpha = tuning.method == TuneMethod::lora ? tuning.alpha : static_cast<double>(rank),
                 .rank_stabilized = false,
                 .base = base,
                 .trained_on = config_.text},
                parts_.matrices(), whole);
}

namespace {

RunProgress progress_in(const TensorFile& file, const std::string& where) {
  RunProgress progress{.steps = read_number(file, where, "aviary.step")};
  if (auto best = file.metadata().find(best_key); best != file.metadata().end()) {
    std::istringstream(best->second) >> progress.best;
    progress.best_step = read_number(file, where, best_step_key);
  }
  return progress;
}

}  // namespace

void Trainer::load(const fs::path& folder) {
  const fs::path path = folder / checkpoint_file;
  const TensorFile file = read_tensor_file(path);
  const std::string where = path.string();
  auto fingerprint = file.metadata().find(fingerprint_key);
  require(fingerprint != file.metadata().end() && fingerprint->second == fingerprint_of(file.tensors()),
          "{}: the file is damaged: its content does not have the fingerprint that was written with it; "
          "start the run again in another folder",
          where);
  require(
      tokenizer_in(file, where)->hash() == tokenizer_->hash(),
      "{}: the run was trained with another tokenizer; give the one that it began with, or begin a new run",
      where);
  for (const TrainedWeight& saved : saved_weights()) {
    read_tensor(file, where, saved.spec->name, saved.weight->value());
    saved.weight->changed();
  }
  for (const Optimizer::Moment& moment : optimizer_.moments())
    read_tensor(file, where, moment.name, moment.values);
  for (size_t i = 0; i < averages_.size(); ++i)
    read_tensor(file, where, "ema." + optimizer_.weights()[i].spec->name, averages_[i].view());
  if (config_.carry_state)
    for (size_t i = 0; i < model_->state_specs().size(); ++i) {
      const OwnedTensor carried = stacked(states_, i);
      read_tensor(file, where, "state." + model_->state_specs()[i].name, carried.view());
      for (size_t b = 0; b < states_.size(); ++b)
        copy(part_of(carried.view(), static_cast<int64_t>(b)), states_[b][i]);
    }
  if (auto positions = file.metadata().find("aviary.state_positions"); positions != file.metadata().end())
    set_positions(states_, positions->second, where);
  optimizer_.set_steps(read_number(file, where, "aviary.optimizer_steps"));
  dropout_random_ = Random(dropout_random_.seed(),
                           static_cast<uint64_t>(read_number(file, where, "aviary.dropout_counter")));
  const RunProgress progress = progress_in(file, where);
  step_ = progress.steps;
  best_ = progress.best;
  best_step_ = progress.best_step;
  if (best_ >= 0) worse_ = read_number(file, where, worse_key);
}

RunProgress read_run_progress(const fs::path& folder) {
  const fs::path path = folder / checkpoint_file;
  return progress_in(read_tensor_file(path), path.string());
}

TrainConfig read_run_config(const fs::path& folder) {
  const fs::path path = folder / config_file;
  require(fs::exists(path), "{}: not the folder of a training run (there is no {})", folder.string(),
          config_file);
  return train_config_from_json(read_file(path, 1 << 20), path.string());
}

void write_run_config(const fs::path& folder, const TrainConfig& config) {
  write_file_atomically(folder / config_file, to_json(config));
}

TokenizerPtr read_run_tokenizer(const fs::path& folder) {
  const fs::path path = folder / checkpoint_file;
  return tokenizer_in(read_tensor_file(path), path.string());
}

}  // namespace aviary
