// The texts of one task: reads its prompts from the longest known state, writes the choices, and reports
// them.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "serve/model_host.h"
#include "serve/reply.h"
#include "serve/task.h"
#include "serve/text_form.h"

namespace aviary {

// A prompt as tokens.
struct PromptTokens {
  std::vector<int32_t> tokens;
  std::vector<int64_t> ends = {};    // numbers of tokens at which messages end: their states are kept
  SnapshotPtr start = {};            // what the model knows before them; null: nothing
  std::string space = {};            // the key space of the state cache
  std::string echo = {};             // reported as the beginning of the text
  std::vector<int32_t> before = {};  // tokens that `start` has read, for penalties
};

// What is known at the end of a text.
struct TextEndState {
  std::vector<int32_t> prompt = {}, text = {};
  std::string stop = {};  // the stop string that is in the text, if one ended it
  State state = {};
  int64_t read = 0;             // tokens of prompt and text that the state has read
  SnapshotPtr prompt_end = {};  // after the prompt; null if it was not reached
};

class TextTask : public std::enable_shared_from_this<TextTask> {
 public:
  struct Plan {
    std::vector<PromptTokens> prompts;
    TaskOptions options;
    WriterOptions writing;  // without the seed
    bool echo_scores = false;
    // Made for each choice: the restriction of its text (may be null), and how its text is divided.
    std::function<std::unique_ptr<Constraint>()> constraint;
    // What the constraint waits for, if anything: the answer is not begun before.
    MasksFuture grammar = {};
    std::function<std::unique_ptr<Reply>()> reply;
    // Called with the end of a choice if options.return_state: keeps it, and says so in `told`. Must not
    // throw.
    std::function<void(TextEndState end, ChoiceEnd& told)> keep_state = {};
    // Called once, with what was read and written, before the sink is told the end. Must not throw.
    std::function<void(const Usage& usage, bool failed)> ended = {};
    Usage usage = {};  // with the times so far
  };

  TextTask(std::shared_ptr<ModelHost> host, Plan plan, std::shared_ptr<TaskSink> sink);
  ~TextTask();

  // Submits the first requests, at once or as soon as another text has read what this one begins with; an
  // invalid one is reported as a failure.
  void start();
  // From any thread.
  void cancel();
  bool ended() const { return ended_; }

 private:
  struct Choice;
  struct PromptRun;

  // Whether the grammar, if there is one, is compiled; begins the answer, or fails with the grammar's
  // mistake.
  bool ready();
  // Tells the sink that the answer begins. With reporting_ locked.
  void announce();
  bool uses_cache() const { return plan_.options.use_cache && !plan_.echo_scores; }
  // Whether another text is reading what this one begins with: then that is read once. On the engine's
  // thread, which must not wait, also whether the grammar is still being compiled.
  bool waits(bool on_engine);
  // Begins unless it waits; whether it has begun, or failed.
  bool begin_all(bool on_engine);
  StateCache::Hit find(PromptRun& run);
  // Tells the cache that the states of the prompt after up to `read` tokens have come, or will not.
  void expect_no_more(PromptRun& run, int64_t read);
  void begin(PromptRun& run, const StateCache::Hit& hit);
  // Submits a choice that goes on from this state and these logits.
  void submit(PromptRun& run, Choice& choice, Request request);
  void submit_from(PromptRun& run, Choice& choice, const Snapshot& snapshot);
  void keep(PromptRun& run, Choice* choice, int64_t read, const State& state, std::span<const float> logits);
  bool show(Choice& choice, const Writer::Piece& piece);
  void report(Choice& choice, Delta delta);
  void done(PromptRun& run, Choice& choice, Finished finished);
  ChoiceEnd end_of(PromptRun& run, Choice& choice, Finished& finished);
  // Reports the best of the choices that were written unseen.
  void report_best(PromptRun& run);
  void fail(const std::exception_ptr& error);
  void score(PromptRun& run, int64_t index, std::span<const float> logits);
  void echo(PromptRun& run);

  const std::shared_ptr<ModelHost> host_;
  const std::shared_ptr<TaskSink> sink_;
  Plan plan_;
  std::vector<std::unique_ptr<PromptRun>> runs_;
  int64_t unfinished_ = 0;
  std::atomic<bool> canceled_ = false, ended_ = false;
  std::mutex reporting_;    // held while the sink is called
  bool announced_ = false;  // guarded by it
  Usage usage_at_begin_ = {};
  std::mutex mutex_;  // guards tickets_
  std::vector<Engine::Ticket> tickets_;
  std::chrono::steady_clock::time_point started_;
  Usage usage_;
};

}  // namespace aviary
