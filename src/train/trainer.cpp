#include "train/trainer.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <span>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "base/interrupt.h"
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
#include "train/not_finite.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

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
                 std::shared_ptr<const TrainingData> data, std::unique_ptr<BatchSource> source, Ranks& ranks)
    : config_(std::move(config)),
      tokenizer_(std::move(tokenizer)),
      data_(std::move(data)),
      model_(std::move(model)),
      runner_(*model_, config_.precision),
      parts_(with_scales(*model_, config_), config_),
      optimizer_(*model_, parts_.groups(), config_.clip, config_.local_steps > 0 ? alone() : ranks),
      states_(runner_.new_states(config_.batch)),
      dropout_random_(Random(config_.seed).split(2)),
      ranks_(ranks),
      workers_(ranks, config_.workers, config_.rounded_sums),
      source_(source ? std::move(source) : data_->source(config_)),
      result_metadata_{{begin_token_key, begin_with_nothing}} {
  config_.model = model_->config();
  now_ = config_;
  if (config_.local_steps > 0) {
    require(
        config_.workers == ranks.count(),
        "--local-steps: each of the {} workers of the run (--workers) is a process of its own, but {} were "
        "started; start it with mpirun -np {}",
        config_.workers, ranks.count(), config_.workers);
    outer_.emplace(ranks, optimizer_.weights(), config_.outer_learning_rate, config_.outer_momentum,
                   config_.rounded_sums);
  }
  if (config_.ema <= 0) return;
  require(model_->dtype() == Dtype::f32, "--ema: the weights have to be float32");
  for (const TrainedWeight& trained : optimizer_.weights()) {
    averages_.emplace_back(trained.spec->shape, Dtype::f32);
    copy(trained.weight->value(), averages_.back().view());
  }
}

Range Trainer::sequences_of(int64_t worker, const Batch& batch) const {
  const int64_t count = batch.sequences.count(), workers = config_.workers;
  return {worker * count / workers, (worker + 1) * count / workers};
}

std::vector<State> Trainer::take_states(const Batch& batch, Range sequences) {
  const int64_t count = batch.sequences.count();
  if (std::ssize(states_) != count) {
    require(std::find(batch.fresh.begin(), batch.fresh.end(), false) == batch.fresh.end(),
            "train: a batch of {} sequences cannot go on with the states of {}", count, states_.size());
    states_ = runner_.new_states(count);
  }
  std::vector<State> states;
  for (int64_t s = sequences.begin; s < sequences.end; ++s) {
    states.push_back(std::move(states_[static_cast<size_t>(s)]));
    if (batch.fresh[static_cast<size_t>(s)]) parts_.begin(states.back());
  }
  return states;
}

void Trainer::put_back(std::vector<State> states, Range sequences) {
  std::move(states.begin(), states.end(), states_.begin() + sequences.begin);
}

double Trainer::pass_gradients(const Batch& batch, std::vector<State>& states, double share, Random& random) {
  const Runner::Training training{.loss = {.scale = share, .l2wrap = config_.l2wrap},
                                  .dropout = {.probability = now_.dropout,
                                              .places = dropout_places(config_.dropout_at),
                                              .adapters = config_.tuning.dropout,
                                              .random = &random},
                                  .first_state = parts_.has_first_state(),
                                  .recompute = config_.recompute};
  const LongPass pass{.chunk = config_.chunk};
  const bool is_long = config_.chunk > 0 && pass.chunks(batch.sequences) > 1;
  const double loss =
      is_long ? long_loss_and_gradients(runner_, batch, states, training, pass)
              : runner_.loss_and_gradients(batch.tokens, batch.targets, batch.sequences, states, training);
  parts_.add_state_gradients(runner_, batch.fresh);
  return loss;
}

double Trainer::worker_gradients(int64_t worker, int64_t counted) {
  double loss = 0;
  for (int64_t pass = first_pass(), end = pass + now_.accumulate; pass < end; ++pass) {
    const Batch& whole = source_->batch(pass);
    const Range sequences = sequences_of(worker, whole);
    const Batch batch = whole.part(sequences.begin, sequences.end);
    if (batch.tokens.empty()) continue;
    std::vector<State> states = take_states(whole, sequences);
    if (batch.counted() > 0) {
      const double share = static_cast<double>(batch.counted()) / static_cast<double>(counted);
      // Several workers have streams of their own, so that it does not matter where they are.
      Random own = dropout_random_.split(static_cast<uint64_t>(pass * config_.workers + worker));
      loss += share * pass_gradients(batch, states, share, config_.workers > 1 ? own : dropout_random_);
    } else {  // its tokens are read nevertheless
      runner_.logits(batch.tokens, batch.sequences, states, {});
    }
    put_back(std::move(states), sequences);
  }
  return loss;
}

int64_t Trainer::counted_targets() {
  int64_t counted = 0;
  for (int64_t pass = first_pass(), end = pass + now_.accumulate; pass < end; ++pass) {
    const Batch& whole = source_->batch(pass);
    if (!outer_) {
      counted += whole.counted();
      continue;
    }
    const Range own = sequences_of(ranks_.rank(), whole);
    counted += whole.part(own.begin, own.end).counted();
  }
  require(counted > 0 || outer_, "train: the batches of the step have no target");
  return counted;
}

// The gradient of a step is that of the mean over all its counted targets, in whichever pass they are.
double Trainer::gather_gradients(StepReport& report) {
  const auto start = std::chrono::steady_clock::now();
  const int64_t counted = counted_targets();
  const auto workers = static_cast<size_t>(config_.workers);
  // Of the workers: losses; of the ranks: the seconds of this; the number of other ranks that shall stop.
  std::vector<double> told(workers + static_cast<size_t>(ranks_.count()) + 1);
  for (int64_t worker = workers_.own().begin; worker < workers_.own().end; ++worker) {
    told[static_cast<size_t>(worker)] = worker_gradients(worker, counted);
    workers_.add(optimizer_.gradients());
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (outer_) {
    round_computing_ += seconds;
    return told[static_cast<size_t>(workers_.own().begin)];
  }
  told[workers + static_cast<size_t>(ranks_.rank())] = seconds;
  if (!ranks_.speaks() && stop_signaled()) told.back() = 1;
  ranks_.add_up(told);
  stop_asked_ = told.back() > 0;
  if (!ranks_.alone())
    report.slowest =
        std::max_element(told.begin() + config_.workers, told.end() - 1) - told.begin() - config_.workers;
  return std::accumulate(told.begin(), told.begin() + config_.workers, 0.0);
}

void Trainer::meet() {
  const double exchanged = ranks_.seconds_exchanging();
  std::vector<double> told(static_cast<size_t>(ranks_.count()) + 1);  // as in gather_gradients()
  told[static_cast<size_t>(ranks_.rank())] = round_computing_;
  if (!ranks_.speaks() && stop_signaled()) told.back() = 1;
  ranks_.add_up(told);
  stop_asked_ = told.back() > 0;
  slowest_ = ranks_.alone() ? -1 : std::max_element(told.begin(), told.end() - 1) - told.begin();
  outer_->end_round(optimizer_.gradients());
  round_began_ = step_;
  round_computing_ = 0;
  round_exchanging_ += ranks_.seconds_exchanging() - exchanged;
}

void Trainer::end_round() {
  if (!in_round()) return;
  tell(Order::end_round, 0);
  meet();
  round_seconds_ = round_exchanging_ = 0;
}

int64_t Trainer::first_pass() const { return passes_before(config_, step_) + skipped_passes_; }

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
  tell(Order::step, 0);
  const double exchanged = ranks_.seconds_exchanging();
  begin_step();
  report.loss = gather_gradients(report);
  report.gradient_norm =
      optimizer_.step(report.learning_rate, weight_decay_scale(config_, step_) * decay_now(), &workers_);
  if (!std::isfinite(report.gradient_norm) && ranks_.speaks()) broken_at_ = find_not_finite();
  report.astray = guard_.note(report.loss);
  parts_.restrain();
  broken_steps_ = std::isfinite(report.gradient_norm) ? 0 : broken_steps_ + 1;
  if (broken_steps_ > 0)
    for (State& state : states_) parts_.begin(state);
  else
    add_to_averages();
  report.step = ++step_;
  ranks_.note_steps(step_);
  const bool ends_round = outer_ && (step_ % config_.local_steps == 0 || finished());
  if (ends_round) meet();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.waiting = (ranks_.seconds_exchanging() - exchanged) / report.seconds;
  if (outer_) round_seconds_ += report.seconds;
  if (ends_round) {
    report.slowest = slowest_;
    report.waiting = round_exchanging_ / round_seconds_;
    round_seconds_ = round_exchanging_ = 0;
  }
  return report;
}

void Trainer::tell(Order order, int64_t number) const {
  int64_t words[] = {static_cast<int64_t>(order), number};
  if (ranks_.speaks()) ranks_.broadcast(std::as_writable_bytes(std::span(words)));
}

void Trainer::follow() {
  const InterruptGuard guard;  // a signal is told to rank 0 with the next step
  for (;;) {
    int64_t words[2] = {};
    ranks_.broadcast(std::as_writable_bytes(std::span(words)));
    switch (static_cast<Order>(words[0])) {
      case Order::step:
        step();
        break;
      case Order::end_round:
        end_round();
        break;
      case Order::save:
        save({});
        break;
      case Order::load:
        load({});
        break;
      case Order::go_back:
        go_back({});
        break;
      case Order::set_steps:
        set_steps(words[1]);
        break;
      case Order::correct_steps:
        correct_steps(words[1]);
        break;
      case Order::end:
        return;
    }
  }
}

// Reads the batches of the step that was just computed again. States that were carried into it are lost; a
// state that texts begin with stands for them.
std::string Trainer::find_not_finite() {
  for (int64_t pass = 0; pass < now_.accumulate; ++pass) {
    const Batch& batch = source_->batch(first_pass() + pass);
    std::vector<State> states = runner_.new_states(batch.sequences.count());
    for (State& state : states) parts_.begin(state);
    if (auto found = first_not_finite(runner_, batch, states, *tokenizer_)) return *found;
  }
  return optimizer_.not_finite().empty() ? ""
                                         : fmt::format(
                                               "all numbers of the forward pass are finite; in the backward "
                                               "pass the gradient of {} is the "
                                               "first that is not",
                                               optimizer_.not_finite());
}

double Trainer::try_pass() {
  const uint64_t counter = dropout_random_.counter();
  const std::vector<State> states = states_;
  const Batch& batch = source_->batch(step_ * config_.accumulate);
  const auto start = std::chrono::steady_clock::now();
  std::vector<State> own = take_states(batch, {0, batch.sequences.count()});
  if (batch.counted() > 0) pass_gradients(batch, own, 1, dropout_random_);
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

}  // namespace aviary
