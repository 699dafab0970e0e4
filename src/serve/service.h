// The heart of the server: models, tasks, states; no protocol and no network.
#pragma once

#include <exception>
#include <functional>
#include <memory>

#include "serve/task.h"

namespace aviary {

// A model that is served, for lists of models.
struct ModelInfo {
  std::string name;
  std::vector<std::string> aliases = {};
  std::string path = {};     // file name without its folder
  int64_t bytes = 0;         // of the file
  std::string digest = {};   // 16 hex digits: version and weights; empty while it was never loaded
  std::string version = {};  // "rwkv7"
  int64_t parameters = 0;
  std::string type = {};  // of most weights: "bf16"
  int64_t context = 0;    // tokens; 0: no limit
  int64_t layers = 0, width = 0, vocabulary = 0;
  std::string chat_template = {};
  bool loaded = false;
  double created = 0;  // seconds since 1970, of the file
};

// What the running tasks do, for metrics and lists of slots.
struct ServiceFigures {
  int64_t running = 0, waiting = 0;
  int64_t requests = 0, failed = 0;
  int64_t prompt_tokens = 0, cached_tokens = 0, tokens = 0;
  double prompt_seconds = 0, seconds = 0;
  int64_t cache_bytes = 0, cache_states = 0, cache_evictions = 0;
};

// A stored state.
struct KeptState {
  std::string id = {};       // "state_..."
  std::string name = {};     // may be empty
  std::string model = {};    // name of the file of the model that it is for
  std::string digest = {};   // of that model: ModelInfo::digest
  std::string version = {};  // "rwkv7"
  int64_t tokens = 0;        // of the text that it stands for
  int64_t pending = 0;       // of these, not read yet
  int64_t bytes = 0;
  int64_t created = 0;  // seconds since 1970
};

// A state to be made: of a text, or of a conversation.
struct StateTask {
  std::string model = {};
  std::optional<Prompt> input = {};    // none: `messages`
  std::vector<Message> messages = {};  // complete turns
  std::string chat_template = {};      // name; empty: that of the model
  std::string state = {};              // id or name of the state that they follow; empty: none
  std::string name = {};               // of the new state
  std::string key = {};                // as TaskOptions::key
};

// A state to be made of several of one model.
struct StateMix {
  struct Part {
    std::string state = {};  // id or name
    double weight = 1;       // not of a composition
  };
  // A weighted sum, or one whose weights are divided by their sum (states/mix.h); or what is left of each
  // text when the next one has been read (states/compose.h).
  enum class Method : uint8_t { sum, mean, compose };
  std::vector<Part> parts = {};
  Method method = Method::sum;
  std::string name = {};  // of the new state
  std::string key = {};   // as TaskOptions::key
};

// Thread-safe. A function that takes `model` accepts a name, an alias, and, if only one model is served, any
// name. Functions that return a value throw TaskFailure.
class Service {
 public:
  virtual ~Service() = default;

  virtual std::vector<ModelInfo> models() const = 0;
  // The model that answers to this name. Throws TaskFailure (not_found).
  virtual ModelInfo model(const std::string& name) const = 0;
  virtual TaskOptions default_options(const std::string& model) const = 0;

  // Starts a task; its sink is called later, also with errors of the request. cancel() ends it.
  using Ticket = uint64_t;
  virtual Ticket chat(ChatTask task, std::shared_ptr<TaskSink> sink) = 0;
  virtual Ticket complete(CompletionTask task, std::shared_ptr<TaskSink> sink) = 0;
  virtual void cancel(Ticket ticket) = 0;

  struct Embeddings {
    std::vector<std::vector<float>> vectors;
    int64_t tokens = 0;
    double seconds = 0;
  };
  // Calls back once, on a thread of the service: with vectors, or an error.
  virtual void embed(EmbeddingTask task,
                     std::function<void(const Embeddings&, const std::optional<TaskError>&)> done) = 0;

  virtual std::vector<int32_t> tokenize(const std::string& model, const std::string& text) = 0;
  virtual std::string detokenize(const std::string& model, const std::vector<int32_t>& tokens) = 0;
  // The number of tokens of the prompt of a chat, and its text.
  virtual int64_t count_tokens(const ChatTask& task) = 0;
  virtual std::string rendered(const ChatTask& task) = 0;
  // Loads the model, or unloads it when nothing uses it.
  virtual void load(const std::string& model) = 0;
  virtual void unload(const std::string& model) = 0;

  virtual ServiceFigures figures() const = 0;

  // Stored states. A state is found by its id or by its name, among those of the same key; one that is not
  // there is refused with not_found, code state_not_found. A name belongs to the last state that was given
  // it.
  using StateDone = std::function<void(const KeptState&, const std::optional<TaskError>&)>;
  // Call back once, here or on a thread of the service.
  virtual void make_state(StateTask task, StateDone done) = 0;
  virtual void mix_states(StateMix mix, StateDone done) = 0;
  virtual std::vector<KeptState> states(const std::string& key) const = 0;
  virtual KeptState state(const std::string& key, const std::string& state) const = 0;
  // The bytes of its file (states/snapshot_file.h).
  virtual std::string state_file(const std::string& key, const std::string& state) = 0;
  // Stores a state of this model from the bytes of such a file.
  virtual KeptState put_state_file(const std::string& key, const std::string& model, const std::string& name,
                                   const std::string& bytes) = 0;
  virtual void erase_state(const std::string& key, const std::string& state) = 0;
};

// An error of a function of the service.
class TaskFailure : public std::exception {
 public:
  explicit TaskFailure(TaskError error) : error_(std::move(error)) {}
  const char* what() const noexcept override { return error_.message.c_str(); }
  const TaskError& error() const { return error_; }

 private:
  TaskError error_;
};

// service.load() for a command of the program: throws Error instead of TaskFailure.
void load_model(Service& service, const std::string& model);

// What to report for an exception: the error of a TaskFailure, else one of the server.
TaskError task_error_of(const std::exception_ptr& error);

[[noreturn]] inline void fail_task(TaskError::Kind kind, std::string message, std::string param = {},
                                   std::string code = {}) {
  throw TaskFailure({kind, std::move(message), std::move(param), std::move(code)});
}

}  // namespace aviary
