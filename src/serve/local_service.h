// The service of this process: loads models when they are asked for, and runs tasks on them.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <thread>

#include "chat/chat_template.h"
#include "serve/model_host.h"
#include "serve/service.h"
#include "serve/state_shelf.h"
#include "serve/text_form.h"
#include "serve/text_task.h"
#include "serve/work_queue.h"

namespace aviary {

// A model as it is to be served.
struct ServedModel {
  std::string name;
  std::vector<std::string> aliases = {};
  HostOptions host = {};
};

struct ServiceOptions {
  std::vector<ServedModel> models = {};  // at least one, with different names
  int64_t loaded_models = 1;    // at the same time; the one that was not used for longest is unloaded
  int64_t waiting_tasks = 256;  // more are refused
  int64_t max_tokens = 4096;    // of a text whose request has no limit of its own
  ShelfOptions states = {};     // stored states
  // Where a request says nothing; the seed is drawn. No penalties: clients expect none.
  SamplerOptions sampling = {.presence_penalty = 0, .frequency_penalty = 0};
};

// Throws TaskFailure (bad_request) naming the field for a token that the model does not have.
void check_tokens(const std::vector<int32_t>& tokens, const ModelHost& host, const char* field);

class LocalService : public Service {
 public:
  // Throws Error if an option is invalid. Loads nothing yet.
  explicit LocalService(ServiceOptions options);
  // Ends all tasks.
  ~LocalService() override;

  std::vector<ModelInfo> models() const override;
  ModelInfo model(const std::string& name) const override;
  TaskOptions default_options(const std::string& model) const override;
  Ticket chat(ChatTask task, std::shared_ptr<TaskSink> sink) override;
  Ticket complete(CompletionTask task, std::shared_ptr<TaskSink> sink) override;
  void cancel(Ticket ticket) override;
  void embed(EmbeddingTask task,
             std::function<void(const Embeddings&, const std::optional<TaskError>&)> done) override;
  std::vector<int32_t> tokenize(const std::string& model, const std::string& text) override;
  std::string detokenize(const std::string& model, const std::vector<int32_t>& tokens) override;
  int64_t count_tokens(const ChatTask& task) override;
  std::string rendered(const ChatTask& task) override;
  void load(const std::string& model) override;
  void unload(const std::string& model) override;
  void make_state(StateTask task, StateDone done) override;
  void mix_states(StateMix mix, StateDone done) override;
  std::vector<KeptState> states(const std::string& key) const override;
  KeptState state(const std::string& key, const std::string& state) const override;
  std::string state_file(const std::string& key, const std::string& state) override;
  KeptState put_state_file(const std::string& key, const std::string& model, const std::string& name,
                           const std::string& bytes) override;
  void erase_state(const std::string& key, const std::string& state) override;
  ServiceFigures figures() const override;

  using HostPtr = std::shared_ptr<ModelHost>;
  // The model itself, which is loaded if it is not; throws TaskFailure. It is not unloaded while this is
  // held, so hold it only while it is used.
  HostPtr loaded(const std::string& model);

 private:
  struct Entry;
  struct Prepared;

  // What a request asks for, ready to be begun.
  struct Prepared {
    HostPtr host;
    TextTask::Plan plan;
  };
  struct Order {
    Ticket ticket = 0;
    std::shared_ptr<TaskSink> sink;
    std::function<Prepared()> prepare;
    double asked = 0;  // seconds
  };

  // Throws TaskFailure.
  Entry& entry(const std::string& name) const;
  ModelInfo info(const Entry& entry) const;
  // The loaded model. Loads it, on this thread; throws TaskFailure. Call with loading_ locked.
  HostPtr host(Entry& entry);
  // Unloads models that were not used for long, so that one more can be loaded; throws TaskFailure.
  void make_room();
  void unload(Entry& entry);
  static void release(HostPtr host);
  // The served model that a stored state was made with.
  HostPtr host_of(const KeptState& state);
  KeptState mixed_state(const StateMix& mix);

  Ticket enqueue(Order order);
  // The thread of preparation: loads models, turns texts into tokens, finds known states.
  void run();
  void begin(Order& order);
  void count(const Usage& usage, bool failed);
  // Reports what happened to a task that was never begun.
  void refuse(const Order& order, const TaskError& error);
  struct RenderedTask {
    HostPtr host;
    const ChatTemplate* form = nullptr;
    RenderedChat chat = {};
  };
  // `continues`: a last message of the assistant is one to go on with.
  RenderedTask render(const ChatTask& task, bool continues = true);
  static PromptTokens tokens_of(const ModelHost& host, const RenderedChat& chat, bool begins);
  // Lets the texts follow a grammar that is known by its name, or is compiled while their prompts are read.
  // Its mistakes are those of this field of the request.
  void compile(const HostPtr& host, const std::string& name, const char* field,
               std::function<Grammar::Ptr()> make, TextTask::Plan& plan);
  void hold_to_grammar(const ChatTask& task, const RenderedTask& rendered, TextTask::Plan& plan);
  void constrain(const ChatTask& task, const RenderedTask& rendered, TextTask::Plan& plan);
  Prepared prepare(const ChatTask& task);
  Prepared prepare(const CompletionTask& task);
  Prepared prepare(const StateTask& task);
  // Lets the prompts begin after the stored state that the options name, and its end be kept if they say so,
  // as a state with this name. `turn_end`: what a reply is followed by in a conversation.
  void with_states(const ModelHost& host, TextTask::Plan& plan, const std::string& turn_end = {},
                   const std::string& name = {});
  Embeddings embeddings(const EmbeddingTask& task);
  // What chats and completions have in common.
  TextTask::Plan plan(const ModelHost& host, const TaskOptions& options) const;

  const ServiceOptions options_;
  StateShelf shelf_;
  std::vector<std::unique_ptr<Entry>> entries_;

  std::mutex loading_;        // held while a model is loaded or unloaded
  mutable std::mutex mutex_;  // guards the rest
  std::condition_variable work_;
  bool ending_ = false;
  std::optional<Ticket> beginning_;  // the order that is being prepared
  bool drop_beginning_ = false;      // it was canceled
  std::deque<Order> orders_;
  std::map<Ticket, std::shared_ptr<TextTask>> tasks_;
  Ticket last_ticket_ = 0;
  ServiceFigures figures_;
  std::thread thread_;
  WorkQueue embeddings_, grammars_, mixes_;
};

}  // namespace aviary
