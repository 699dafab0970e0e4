// A service without models, for a server that has other things to show.
#pragma once

#include "serve/service.h"

namespace aviary {

class NoModels : public Service {
 public:
  std::vector<ModelInfo> models() const override { return {}; }
  ModelInfo model(const std::string&) const override { refuse(); }
  TaskOptions default_options(const std::string&) const override { refuse(); }
  Ticket chat(ChatTask, std::shared_ptr<TaskSink>) override { refuse(); }
  Ticket complete(CompletionTask, std::shared_ptr<TaskSink>) override { refuse(); }
  void cancel(Ticket) override {}
  void embed(EmbeddingTask,
             std::function<void(const Embeddings&, const std::optional<TaskError>&)>) override {
    refuse();
  }
  std::vector<int32_t> tokenize(const std::string&, const std::string&) override { refuse(); }
  std::string detokenize(const std::string&, const std::vector<int32_t>&) override { refuse(); }
  int64_t count_tokens(const ChatTask&) override { refuse(); }
  std::string rendered(const ChatTask&) override { refuse(); }
  void load(const std::string&) override { refuse(); }
  void unload(const std::string&) override { refuse(); }
  ServiceFigures figures() const override { return {}; }
  void make_state(StateTask, StateDone) override { refuse(); }
  void mix_states(StateMix, StateDone) override { refuse(); }
  std::vector<KeptState> states(const std::string&) const override { return {}; }
  KeptState state(const std::string&, const std::string&) const override { refuse(); }
  std::string state_file(const std::string&, const std::string&) override { refuse(); }
  KeptState put_state_file(const std::string&, const std::string&, const std::string&,
                           const std::string&) override {
    refuse();
  }
  void erase_state(const std::string&, const std::string&) override { refuse(); }

 private:
  [[noreturn]] static void refuse() {
    fail_task(TaskError::Kind::not_found, "this server has no models (aviary watch); start aviary serve",
              "model", "model_not_found");
  }
};

}  // namespace aviary
