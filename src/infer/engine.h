// Many texts at once from one model: requests come and go, and every step reads a chunk of some prompts and
// one token of each text being written.
#pragma once

#include <chrono>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "infer/draft.h"
#include "infer/writer.h"
#include "models/cost.h"
#include "models/run.h"

namespace aviary {

struct EngineOptions {
  int64_t texts = 64;  // at most so many are worked on at once; further ones wait
  // Bytes of the states of these texts, each counted at the length it may reach; 0: no limit. Weights and the
  // memory of a step are not counted.
  int64_t state_bytes = 0;
  // A prompt is read in chunks of so many tokens, counted from its first, whatever else the steps read: where
  // the chunks end decides how the logits are rounded.
  int64_t chunk = 256;
  // Tokens of prompts in a step; at least one chunk is read. Bounds how long a step can be, and with it the
  // time between two tokens of the texts being written.
  int64_t prompt_rows = 256;
};

// How a request ended.
struct Finished {
  TextEnd end = TextEnd::none;
  std::exception_ptr error = {};  // of TextEnd::failed
  // It has read the prompt and the text but for the last token, or less: its position() says how much. A
  // canceled text may have ended within its prompt; one that failed has a state of no use.
  State state = {};
  int64_t prompt_tokens = 0, tokens = 0;   // read, and written
  int64_t guessed = 0, guessed_right = 0;  // tokens
  double prompt_seconds = 0, seconds = 0;  // from its first step to the end of the prompt, and from there on
};

// Tokens to read and then a text to write; with writing.tokens = 0, tokens to read.
struct Request {
  std::vector<int32_t> tokens;  // at least one
  // Of one sequence, before the tokens; nothing: that of a model that has read nothing.
  std::optional<State> start = {};
  WriterOptions writing = {};
  std::unique_ptr<Constraint> constraint = {};  // null: none
  int64_t draft = 0;                            // tokens guessed ahead at most; the text stays the same
  // Each token with the text that can be shown then, in order; false ends the text.
  std::function<bool(const Writer::Piece&)> show = {};
  std::function<void(Finished)> done = {};  // once, after the last piece
};

// The same request gives the same text, bit for bit, whatever else the engine has to do.
//
// Threads: submit(), cancel() and unfinished() may be called from any; one mutex guards the queue they share
// with step(). step() belongs to one thread at a time. It calls `show` and `done` back on that thread, with
// no lock held; they may submit and cancel, and use the model through other runners. What `show` throws ends
// its request; `done` must not throw. An Engine that is destroyed drops what is unfinished without calling
// back.
class Engine {
 public:
  using Ticket = uint64_t;

  // Both must live as long; nobody else uses the runner within step(). Throws Error when the tokenizer has
  // more tokens than the model, or an option is not positive.
  Engine(Runner& runner, const Tokenizer& tokenizer, const EngineOptions& options = {});
  ~Engine();

  // Puts the request at the end of the queue. Throws Error, and calls nobody back, when the request cannot
  // be: no tokens, one outside of the vocabulary, a start state of another model, a writer's option, or a
  // state larger than the limit.
  Ticket submit(Request request);
  // Ends the request before its next step; `done` is called by that step. A ticket that is done: nothing
  // happens.
  void cancel(Ticket ticket);

  // One step of the model, and what follows from it. False when nothing is left to do. When the step itself
  // fails (memory), all requests that took part end with that error.
  bool step();

  // Requests that are not done, for a limit of the caller's; any thread.
  int64_t unfinished() const;

 private:
  struct Text;
  using Clock = std::chrono::steady_clock;

  // What the state of a request may take in the end.
  int64_t state_bytes(const Request& request) const;
  // What was submitted and canceled since the last step.
  void take_orders();
  // Waiting requests to work on, as the limits allow.
  void admit();
  // Who takes part in the next step, with which tokens.
  void plan();
  void add(Text& text, std::span<const int32_t> tokens, size_t first_row);
  void run();
  // Reads the tokens of the step; the states of its texts become those after it. Returns the wanted rows.
  Tensor read();
  // Chooses the next tokens of a text by its rows of logits.
  void write(Text& text, std::span<float> logits);
  // Calls back.
  void deliver();
  void show(Text& text);
  void finish(Text& text);

  Runner& runner_;
  const Tokenizer& tokenizer_;
  const EngineOptions options_;
  const TokenCost cost_;
  const int64_t vocabulary_;

  mutable std::mutex mutex_;  // of these four
  std::vector<std::unique_ptr<Text>> submitted_;
  std::vector<Ticket> canceled_;
  Ticket last_ticket_ = 0;
  int64_t unfinished_ = 0;

  std::deque<std::unique_ptr<Text>> waiting_;
  std::vector<std::unique_ptr<Text>> texts_;  // in work
  std::deque<Text*> readers_;                 // of these, whose prompts are read, the next one first
  int64_t bytes_ = 0;                         // of the states of the texts

  // The next step.
  std::vector<Text*> parts_;
  std::vector<State*> states_;  // of the parts
  std::vector<int32_t> tokens_;
  Sequences sequences_;
  std::vector<int64_t> wanted_;
};

}  // namespace aviary
