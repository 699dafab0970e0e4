// What a client asks for, independent of the protocol in which it asked: the protocols turn requests into
// tasks, and what a task reports into answers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "chat/message.h"
#include "infer/sampler.h"

namespace aviary {

// A restriction of the text.
struct ResponseFormat {
  enum class Kind : uint8_t { text, json_object, json_schema, regex, gbnf };
  Kind kind = Kind::text;
  std::string source = {};  // the schema as JSON text, the expression, the grammar
};

// Options of chats and completions. The protocols begin with Service::default_options() and change what the
// request states.
struct TaskOptions {
  SamplerOptions sampling = {};
  std::optional<int64_t> max_tokens = {};  // none: the limit of the server
  std::vector<std::string> stop = {};      // in addition to those of the template
  bool ignore_end = false;                 // go on after the end of text
  int64_t choices = 1;                     // texts for the same prompt; their seeds are seed, seed + 1, ...
  int64_t best_of = 0;                     // write this many, keep the `choices` most probable; 0: choices
  bool logprobs = false;                   // report the probability of each token
  int64_t top_logprobs = 0;                // and of the most probable ones
  ResponseFormat format = {};
  std::string state = {};          // name or id of a stored state to begin with; empty: none
  bool return_state = false;       // keep the state at the end of the text, and report its id
  bool return_state_file = false;  // and the bytes of its file
  bool use_cache = true;           // begin with the longest known state of the prompt
  bool progress = false;           // report the reading of the prompt
  std::string key = {};            // stands for the client's API key: others share no cache and no states
};

struct ToolChoice {
  enum class Kind : uint8_t { automatic, none, required, named };
  Kind kind = Kind::automatic;
  std::string name = {};  // of `named`
};

struct ChatTask {
  std::string model = {};
  std::vector<Message> messages = {};
  std::vector<Tool> tools = {};
  ToolChoice tool_choice = {};
  bool parallel_calls = true;
  Thinking thinking = Thinking::usual;
  std::optional<int64_t> thinking_tokens = {};  // after so many, the thought is ended
  std::string chat_template = {};               // name; empty: that of the model
  TaskOptions options = {};
};

// A text, or tokens.
using Prompt = std::variant<std::string, std::vector<int32_t>>;

struct CompletionTask {
  std::string model = {};
  std::vector<Prompt> prompts = {};  // each gives `choices` texts; their numbers go on from prompt to prompt
  bool echo = false;                 // the prompt is part of the text, and of the logprobs
  TaskOptions options = {};
};

struct EmbeddingTask {
  std::string model = {};
  std::vector<Prompt> inputs = {};
  std::optional<int64_t> dimensions = {};
};

struct TokenLogprob {
  int32_t token = 0;
  std::string bytes = {};
  // Natural logarithm, of the model before constraints, penalties and filters; NaN for the first token of a
  // prompt, which nothing precedes.
  double logprob = 0;
  struct Alternative {
    int32_t token = 0;
    std::string bytes = {};
    double logprob = 0;
  };
  std::vector<Alternative> top = {};  // the most probable first
};

// A part of the text of one choice. Of reasoning, content and call at most one is not empty.
struct Delta {
  int64_t choice = 0;
  std::string reasoning = {};
  std::string content = {};
  struct Call {
    int64_t index = 0;    // of the call within the choice
    std::string id = {};  // set in the first part of a call, and name
    std::string name = {};
    std::string arguments = {};  // the next piece of JSON
  };
  std::optional<Call> call = {};
  std::vector<TokenLogprob> logprobs = {};
};

enum class FinishReason : uint8_t { stop, length, tool_calls, canceled };

struct ChoiceEnd {
  int64_t choice = 0;
  FinishReason reason = FinishReason::stop;
  std::string stop_string = {};  // the stop string of the request that ended the text, if one did
  std::string state = {};        // id of the state that was kept
  std::string state_file = {};   // its bytes, if they were asked for
  int64_t tokens = 0;
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of these, not read again
  int64_t tokens = 0;         // written, in all choices
  int64_t reasoning_tokens = 0;
  double load_seconds = 0, wait_seconds = 0, prompt_seconds = 0, seconds = 0;
  int64_t total() const { return prompt_tokens + tokens; }
};

struct TaskError {
  enum class Kind : uint8_t {
    bad_request,  // 400
    not_found,    // 404
    too_large,    // 413, or 400 for a context that is too long
    overloaded,   // 429
    unavailable,  // 503, the server is ending
    internal,     // 500
  };
  Kind kind = Kind::internal;
  std::string message = {};
  std::string param = {};  // the field of the request, "messages[2].content"
  std::string code = {};   // "model_not_found", "context_length_exceeded", or empty
};

// Receives what a task reports: started, then any number of progress and deltas, one choice_end for every
// choice, then finished; or failed, at any time, as the last. The functions are called one after the other on
// threads of the service; they must not block and must not throw.
class TaskSink {
 public:
  virtual ~TaskSink() = default;
  // The prompt is about to be read.
  virtual void started(const Usage& usage) = 0;
  virtual void progress(int64_t read, int64_t cached, int64_t total) = 0;
  virtual void delta(const Delta& delta) = 0;
  virtual void choice_end(const ChoiceEnd& end) = 0;
  virtual void finished(const Usage& usage) = 0;
  virtual void failed(const TaskError& error) = 0;
  // Whether nobody reads the answer any longer; the task ends with the next token.
  virtual bool abandoned() const = 0;
  // Whether the reader lags behind; the text waits.
  virtual bool busy() const { return false; }
};

}  // namespace aviary
