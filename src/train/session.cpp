#include "train/session.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <set>

#include "base/error.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/utf8.h"
#include "infer/generate.h"
#include "train/log.h"
#include "train/run_folder.h"
#include "train/time_plan.h"

namespace aviary {
namespace {

constexpr int64_t broken_steps_allowed = 10;
constexpr int64_t most_times_back = 3;
constexpr int64_t sample_tokens = 40;
constexpr const char* no_log = "the steps are not logged";
constexpr int64_t validations = 20, samples = 5;  // per run, unless the config gives an interval

class Session {
 public:
  Session(Trainer& trainer, const SessionOptions& options)
      : trainer_(trainer),
        options_(options),
        log_(options.folder, trainer.steps_done()),
        started_(now()),
        saved_(started_) {}

  SessionEnd run() {
    InterruptGuard guard;
    const TrainConfig& config = trainer_.config();
    first_step_ = common_step_ = trainer_.steps_done();
    decorate(no_log, [&] { log_.drop_repeated(); });
    if (keeps_best() && first_step_ == 0 && trainer_.best_validation() < 0) begin();
    if (!config.schedule.steps) time_.emplace(now(), started_ - options_.used_seconds + config.minutes * 60);
    while (!trainer_.finished() && !trainer_.gets_worse() && !guard.interrupted() && !trainer_.stop_asked()) {
      StepReport report = trainer_.step();
      if (trainer_.broken_steps() > broken_steps_allowed)
        fail(
            "training diverged: the gradient has not been finite since step {}; {}start again with a smaller "
            "--learning-rate",
            report.step - trainer_.broken_steps(),
            is_run(options_.folder)
                ? fmt::format("the last good checkpoint is in {}: resume it, or ", options_.folder.string())
                : "");
      tell_first_loss(report);
      if (report.astray && config.roll_back && go_back(report)) continue;
      choose_steps();
      smooth_ = std::isfinite(report.loss) ? (smooth_ > 0 ? 0.95 * smooth_ + 0.05 * report.loss : report.loss)
                                           : smooth_;
      if (trainer_.finished() || (every(config.validate_every, validations) && has_time_to_validate()))
        pause([&] { validate(report); });
      if (keeps_best() && trainer_.note_validation(report.validation_bits_per_byte))
        trainer_.save_result(options_.folder);
      decorate(no_log, [&] { log_.add(report, trainer_.tokens_per_step(), trainer_.layer_norms()); });
      show(report);
      if (every(config.sample_every, samples) && !trainer_.finished())
        pause([&] { decorate("no sample", [&] { sample(); }); });
      if (every(config.checkpoint_every) || (!trainer_.in_round() && now() - saved_ > seconds_to_save()))
        saving_ = pause([&] { save(); });
      if (!trainer_.in_round()) common_step_ = trainer_.steps_done();
    }
    save();
    if (progress_) progress_->finish();
    if (time_ && trainer_.finished())
      tell(fmt::format("{} steps in {} of {:g} minutes", with_commas(trainer_.steps_done()),
                       human_duration(now() - started_ + options_.used_seconds), config.minutes));
    if (trainer_.finished()) return SessionEnd::finished;
    return trainer_.gets_worse() ? SessionEnd::gets_worse : SessionEnd::interrupted;
  }

 private:
  // A new model knows nothing: its loss is that of a guess, or something is wrong with it.
  void tell_first_loss(const StepReport& report) {
    const double guess = std::log(static_cast<double>(trainer_.config().model.vocab_size));
    if (report.step == 1 && !keeps_best() && std::abs(report.loss - guess) > 1)
      tell(
          fmt::format("note: the loss of the first step is {:.2f}, but that of a guess among {} tokens "
                      "{:.2f}; a new model "
                      "should be about there",
                      report.loss, with_commas(trainer_.config().model.vocab_size), guess));
  }
  // Returns whether the run went back to its last checkpoint.
  bool go_back(const StepReport& report) {
    if (!is_run(options_.folder)) return false;
    ++times_back_;
    require(times_back_ <= most_times_back,
            "training went astray {} times (the loss rose and did not come back), last at step {}; start "
            "again with a "
            "smaller --learning-rate or a longer --warmup",
            times_back_, report.step);
    trainer_.go_back(options_.folder);
    tell(fmt::format(
        "step {}: the loss has risen to {:.2f} and does not come back; the run goes back to step {}, and on "
        "past these batches",
        with_commas(report.step), report.loss, with_commas(trainer_.steps_done())));
    if (time_) time_->go_back(trainer_.steps_done() - first_step_, now());
    common_step_ = trainer_.steps_done();
    log_ = RunLog(options_.folder, trainer_.steps_done());
    decorate(no_log, [&] { log_.drop_repeated(); });
    return true;
  }
  double now() const {
    if (options_.clock) return options_.clock();
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  // Work between two steps; returns its seconds.
  template <typename Work>
  double pause(Work work) {
    const double begun = now();
    work();
    const double seconds = now() - begun;
    if (time_) time_->add_pause(seconds);
    return seconds;
  }
  bool keeps_best() const { return trainer_.config().tuning.of_model(); }
  // The base, as a first checkpoint and as the result if nothing becomes better, and its validation.
  void begin() {
    save();
    const double bits = trainer_.validate(options_.validation_tokens, options_.validation_window);
    if (trainer_.note_validation(bits))
      tell(fmt::format("Before the first step: {:.3f} bits per byte on the validation part", bits));
  }
  // Whether it is time for what happens after so many steps each. In mid-round it is put off until the round
  // ends.
  bool every(int64_t steps) const {
    return steps > 0 && !trainer_.in_round() && trainer_.steps_done() / steps > common_step_ / steps;
  }
  // Ranks that train by themselves send all of their moments for a checkpoint, over a slow line: at most a
  // twentieth of the time is for that.
  double seconds_to_save() const {
    constexpr double times = 20;
    return trainer_.config().local_steps > 0 ? std::max(options_.checkpoint_seconds, times * saving_)
                                             : options_.checkpoint_seconds;
  }
  // The same, with a negative number meaning `times` in the whole run.
  bool every(int64_t steps, int64_t times) const {
    const TrainConfig& config = trainer_.config();
    if (steps >= 0) return every(steps);
    return config.schedule.steps && every(std::max<int64_t>(1, *config.schedule.steps / times));
  }

  // A part of the validation text or, after the last step, all of it; a run that keeps its best result
  // compares equal measurements.
  void validate(StepReport& report) {
    const double begun = now();
    const bool all = trainer_.finished() && !keeps_best();
    report.validation_bits_per_byte =
        trainer_.validate(all ? 0 : options_.validation_tokens, options_.validation_window);
    if (report.validation_bits_per_byte >= 0)
      report.average_bits_per_byte = trainer_.validate_average(
          trainer_.finished() ? 0 : options_.validation_tokens, options_.validation_window);
    validating_ += now() - begun;
    ++validated_;
  }
  // A run by minutes spends at most about a twentieth of them on validations on the way.
  bool has_time_to_validate() const {
    return !time_ || keeps_best() || trainer_.config().validate_every > 0 ||
           validating_ < (now() - started_) / 20;
  }

  // Seconds from the last step to the end of the run: a validation of the whole text, if there is one, and a
  // checkpoint. Before the first validation it is guessed that one token costs a third of a trained one.
  double seconds_after_last_step() const {
    const double all =
        static_cast<double>(trainer_.data().validation_bytes()) / trainer_.data().bytes_per_token();
    const double part =
        options_.validation_tokens > 0 ? std::min(all, static_cast<double>(options_.validation_tokens)) : all;
    const double each = validated_ > 0 && part > 0
                            ? validating_ / static_cast<double>(validated_) / part
                            : time_->seconds_per_step() / static_cast<double>(trainer_.tokens_per_step()) / 3;
    return each * (keeps_best() ? part : all) + saving_;
  }

  // The number of steps for --minutes, from the speed of the first ones, and its corrections; until it is
  // known the rate does not depend on it. Settings that change in mid-run are bound to steps, so it stays
  // with them.
  void choose_steps() {
    if (!time_) return;
    const Schedule& schedule = trainer_.config().schedule;
    const int64_t done = trainer_.steps_done() - first_step_;
    const auto in_run = [&](int64_t steps) {
      steps += first_step_;
      return schedule.most_steps > 0 ? std::min(steps, schedule.most_steps) : steps;
    };
    if (!schedule.steps) {
      const std::optional<int64_t> steps = time_->choose(done, now(), seconds_after_last_step());
      if (!steps) return;
      trainer_.set_steps(in_run(*steps));
      // The rates of the steps before were those of an unknown number, so no run may go on from them with
      // this one.
      saving_ = pause([&] { save(); });
      if (schedule.warmup > *schedule.steps)
        tell(
            fmt::format("note: the warm-up of {} steps is longer than the run, about {} steps: the learning "
                        "rate stays below its value; stop with Ctrl-C and give a smaller --warmup",
                        with_commas(schedule.warmup), with_commas(*schedule.steps)));
    } else {
      if (trainer_.steps_done() < schedule.warmup || !trainer_.config().changes.empty()) return;
      const std::optional<int64_t> steps =
          time_->correct(done, *schedule.steps - first_step_, now(), seconds_after_last_step());
      if (!steps || in_run(*steps) == *schedule.steps) return;
      trainer_.correct_steps(in_run(*steps));
    }
    write_run_config(options_.folder, trainer_.config());
  }

  void show(const StepReport& report) {
    const TrainConfig& config = trainer_.config();
    const int64_t per_step = trainer_.tokens_per_step();
    const int64_t total = config.schedule.steps.value_or(0) * per_step;  // 0: not yet known
    if (!progress_ || total != total_) {
      total_ = total;
      progress_.reset();
      progress_ = std::make_unique<Progress>(ProgressOptions{
          .label = options_.label, .total = total, .start = first_step_ * per_step, .out = options_.out});
    }
    std::string fields = fmt::format("step {} | loss {:.3f} | {:.2f} bits/byte", with_commas(report.step),
                                     smooth_, smooth_ * bits_per_byte_of_a_nat());
    if (report.slowest >= 0)
      ranks_ = fmt::format(" | {} ranks, {:.0f} % waiting, slowest: {}", trainer_.ranks().count(),
                           100 * report.waiting, report.slowest);
    fields += ranks_;
    progress_->update(report.step * per_step, fields);
    if (report.validation_bits_per_byte >= 0 && options_.tell_validation)
      progress_->print(fmt::format("step {}: {:.3f} bits per byte on the validation text",
                                   with_commas(report.step), report.validation_bits_per_byte));
    if (report.average_bits_per_byte >= 0 && options_.tell_validation)
      progress_->print(fmt::format("step {}: {:.3f} bits per byte with the moving average of the weights",
                                   with_commas(report.step), report.average_bits_per_byte));
    if (trainer_.broken_steps() > 0)
      progress_->print(fmt::format("step {}: the gradient is not finite; the step was skipped{}", report.step,
                                   trainer_.broken_at().empty() ? "" : ": " + trainer_.broken_at()));
  }

  double bits_per_byte_of_a_nat() const { return 1 / trainer_.data().bytes_per_token() / std::log(2.0); }

  void sample() {
    const State start = trainer_.first_state();
    GenerateOptions options{.tokens = sample_tokens, .begin = options_.begin_token, .start = &start};
    options.sampling.seed = trainer_.config().seed;
    std::string text =
        options_.sample_prompt +
        generate(trainer_.runner(), trainer_.tokenizer(), options_.sample_prompt, options).text;
    decorate("the sample is not kept", [&] { log_.add_sample(trainer_.steps_done(), text); });
    std::replace(text.begin(), text.end(), '\n', ' ');
    progress_->print(fmt::format("  \"{} ...\"", for_terminal(text)));
  }

  void save() {
    trainer_.end_round();
    trainer_.save(options_.folder);
    decorate("the loss curve cannot be drawn", [&] { log_.draw(bits_per_byte_of_a_nat()); });
    saved_ = now();
  }

  // Work without which the run is as good: its error is told once, and the run goes on.
  template <typename Work>
  void decorate(const char* what, Work work) {
    try {
      work();
    } catch (const std::exception& error) {
      const std::string note = fmt::format("note: {}: {}", what, for_terminal(error.what()));
      if (notes_.insert(note).second) tell(note);
    }
  }
  void tell(const std::string& line) {
    if (progress_) return progress_->print(line);
    static_cast<void>(std::fputs((line + "\n").c_str(), options_.out));  // before the first step
  }

  Trainer& trainer_;
  const SessionOptions& options_;
  RunLog log_;
  double started_, saved_;
  std::optional<TimePlan> time_;        // of a run by minutes whose steps are not known when it begins
  double validating_ = 0, saving_ = 0;  // seconds: of all validations, of the last checkpoint
  int64_t validated_ = 0;               // times
  std::unique_ptr<Progress> progress_;
  int64_t first_step_ = 0, times_back_ = 0;
  int64_t common_step_ = 0;  // the last one after which no round was going on, but the current one
  double smooth_ = 0;
  std::string ranks_;  // field of the status line
  int64_t total_ = 0;
  std::set<std::string> notes_;  // that were told
};

}  // namespace

std::string usual_sample_prompt(const Tokenizer& tokenizer, TokenSpan text) {
  constexpr int64_t beginning = 8;  // tokens
  const std::string usual = "The ";
  try {
    tokenizer.encode(usual);
    return usual;
  } catch (const Error&) {  // a vocabulary of other characters
    const std::string first = tokenizer.decode(text.part(0, std::min(beginning, text.size())).copy());
    return first.substr(0, valid_utf8_length(first));
  }
}

SessionEnd run_session(Trainer& trainer, const SessionOptions& options) {
  return Session(trainer, options).run();
}

}  // namespace aviary
