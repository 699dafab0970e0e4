// Generates many texts at once with one model (continuous batching): requests can be added and removed at any
// time, and every step reads chunks of some prompts and one token of each text being generated.
#pragma once

#include <chrono>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "infer/draft.h"
#include "infer/writer.h"
#include "models/cost.h"
#include "models/run.h"

namespace aviary {

struct EngineOptions {
  int64_t texts = 64;  // largest number processed at once; others wait
  // Limit on the bytes of their states, each counted at its maximum length; 0: no limit. Weights and the
  // memory of a step are not counted.
  int64_t state_bytes = 0;
  // A prompt is read in chunks of this many tokens from its start, independent of other requests, because the
  // ends of chunks affect the rounding of AFT (of no other version: engine_states_test.cpp).
  int64_t chunk = 256;
  // Largest number of prompt tokens in a step, but at least one chunk. Limits the duration of a step. While
  // texts are being generated, a step reads fewer tokens of prompts, so that it takes at most about twice as
  // long as without them (not for models whose state grows with the text).
  int64_t prompt_rows = 256;
};

// How a request ended.
struct Finished {
  TextEnd end = TextEnd::none;
  std::string stop = {};          // of TextEnd::stop: the stop string
  std::exception_ptr error = {};  // of TextEnd::failed
  // The state after the prompt and the text except its last token, or fewer tokens: position() gives their
  // number. A canceled text may have ended within its prompt; the state of a failed one is unusable.
  State state = {};
  int64_t prompt_tokens = 0, tokens = 0;   // read and generated
  int64_t guessed = 0, guessed_right = 0;  // tokens
  double prompt_seconds = 0, seconds = 0;  // until the end of the prompt, and after it
};

// Tokens to read, and then a text to generate; with writing.tokens = 0 only the former.
struct Request {
  std::vector<int32_t> tokens;  // at least one, unless `logits` are given
  // The state of one sequence before the tokens; nothing: the initial state.
  std::optional<State> start = {};
  // Of a request without tokens: the logits [V] after the last token that `start` has read.
  std::vector<float> logits = {};
  WriterOptions writing = {};
  std::unique_ptr<Constraint> constraint = {};  // null: none
  int64_t draft = 0;  // maximum number of tokens guessed ahead; does not change the text
  // Where copies of the state are wanted: after these numbers of tokens (increasing, at most all of them),
  // and after every `keep_every` generated tokens (0: none; not with a draft). `keep` is called with the
  // number of tokens read since the start, generated ones included, the state after them, and the logits [V]
  // for the next one.
  std::vector<int64_t> keep_at = {};
  int64_t keep_every = 0;
  // The same places, increasing, for which the logits are not wanted: they cost a product with the output
  // matrix. `keep` gets none there, unless keep_at has the place, too.
  std::vector<int64_t> keep_states_at = {};
  std::function<void(int64_t read, const State& state, std::span<const float> logits)> keep = {};
  // If set, called for each of the tokens with the logits [V] after it.
  std::function<void(int64_t index, std::span<const float> logits)> score = {};
  // If set, called after each chunk of the tokens with the number of those that were read.
  std::function<void(int64_t read)> progress = {};
  // If set, called before every step: while it returns true the text waits, because its reader lags behind.
  std::function<bool()> waits = {};
  // If set, the text is not begun before it returns true: of the tokens all but the last are read meanwhile.
  // Not for a request without tokens.
  std::function<bool()> ready = {};
  // Called for each token in order, with the text that can then be shown; returning false ends the text.
  std::function<bool(const Writer::Piece&)> show = {};
  std::function<void(Finished)> done = {};  // once, after the last piece
};

// The same request gives the same text, bit for bit, independent of other requests.
//
// Threads: submit(), cancel() and unfinished() may be called from any thread; one mutex guards the queue that
// they share with step(). Only one thread at a time may call step(). It calls `show` and `done` on that
// thread, without holding a lock; they may submit and cancel, and use the model through other runners. An
// exception thrown by `show` ends its request; `done` must not throw. Destroying an Engine drops unfinished
// requests without callbacks.
class Engine {
 public:
  using Ticket = uint64_t;

  // Both must outlive the engine, and the runner must not be used elsewhere during step(). Throws Error if
  // the tokenizer has more tokens than the model, or an option is not positive.
  Engine(Runner& runner, const Tokenizer& tokenizer, const EngineOptions& options = {});
  ~Engine();

  // Appends the request to the queue. Throws Error, without callbacks, for an invalid request: no tokens, one
  // outside the vocabulary, a start state of another model, an invalid option of the writer, or a state
  // larger than the limit.
  Ticket submit(Request request);
  // Ends the request before its next step; `done` is called in that step. Does nothing for a finished
  // request.
  void cancel(Ticket ticket);

  // Runs one step of the model and handles its results. False if nothing is left to do. If the step itself
  // fails (out of memory), all requests in it end with that error.
  bool step();

  // Whether the last step had nothing to read, because all texts wait.
  bool idle() const { return parts_.empty(); }

  // Number of unfinished requests, for example for a limit of the caller; callable from any thread.
  int64_t unfinished() const;

 private:
  struct Text;
  using Clock = std::chrono::steady_clock;

  // The maximum bytes of the state of a request.
  int64_t state_bytes(const Request& request) const;
  // Takes over the requests submitted and canceled since the last step.
  void take_orders();
  // Starts waiting requests, as far as the limits allow.
  void admit();
  // Chooses the requests and tokens of the next step.
  void plan();
  void add(Text& text, std::span<const int32_t> tokens, size_t first_row);
  void run();
  // Reads the tokens of the step; the states of its texts become those after it. Returns the wanted rows.
  Tensor read();
  // The tokens of a prompt that are read next, at most `most`.
  std::span<const int32_t> next_chunk(const Text& text, int64_t most) const;
  // How many tokens of prompts a step reads beside the texts that are in it.
  int64_t prompt_rows_beside(int64_t texts) const;
  // Gives a copy of the state without logits.
  void keep_state(Text& text);
  // Gives the rows of logits that are wanted by the callbacks of a text. Whether it goes on to write.
  bool handle(Text& text, std::span<const float> logits, int64_t prompt_rows);
  // Chooses the next tokens of a text from its rows of logits. Several texts do so at once, in threads.
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

  mutable std::mutex mutex_;  // guards these four
  std::vector<std::unique_ptr<Text>> submitted_;
  std::vector<Ticket> canceled_;
  Ticket last_ticket_ = 0;
  int64_t unfinished_ = 0;

  std::deque<std::unique_ptr<Text>> waiting_;
  std::vector<std::unique_ptr<Text>> texts_;  // in work
  std::deque<Text*> readers_;                 // those with unread prompts, the next one first
  int64_t bytes_ = 0;                         // bytes of the states of the texts

  // The next step.
  std::vector<Text*> parts_;
  std::vector<State*> states_;  // of the parts
  std::vector<int32_t> tokens_;
  Sequences sequences_;
  std::vector<int64_t> wanted_;
  std::vector<std::pair<Text*, std::span<float>>> writers_;  // and their rows of logits
};

}  // namespace aviary
