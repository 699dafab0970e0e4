// A Service for tests of protocols: its sinks report what a test has written down. And an Answer that keeps
// what is written to it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "serve/answer.h"
#include "serve/service.h"

namespace aviary {

class FakeAnswer : public Answer {
 public:
  int status = 0;
  HttpHeaders headers = {};
  std::string body = {};                 // all of it, also of a stream
  std::vector<std::string> writes = {};  // of a stream
  bool streamed = false, ended = false;
  bool left = false, slow = false;  // what closed() and lagging() say
  int answers = 0;                  // calls of respond() and begin(): 1 when all is well

  void respond(int code, const HttpHeaders& fields, std::string text) override {
    status = code, headers = fields, body = std::move(text), ended = true, ++answers;
  }
  void begin(int code, const HttpHeaders& fields) override {
    status = code, headers = fields, streamed = true, ++answers;
  }
  void write(std::string_view bytes) override {
    writes.emplace_back(bytes);
    body += bytes;
  }
  void end() override { ended = true; }
  bool closed() const override { return left; }
  bool lagging() const override { return slow; }

  std::string header(std::string_view name) const {
    for (const auto& [field, value] : headers)
      if (field == name) return value;
    return "";
  }
};

// What one task reports: any of its parts in the order of their members.
struct Script {
  std::optional<TaskError> refused = {};  // failed() instead of started()
  std::vector<int64_t> progress = {};     // tokens read so far
  std::vector<Delta> deltas = {};
  std::optional<TaskError> error = {};  // failed() after the deltas
  std::vector<ChoiceEnd> ends = {{.choice = 0}};
  Usage usage = {.prompt_tokens = 7, .cached_tokens = 3, .tokens = 2, .prompt_seconds = 0.5, .seconds = 0.25};
};

// A chat or completion plays `script` when it is started or, with `wait`, when play() is called. What was
// asked for is kept.
class FakeService : public Service {
 public:
  Script script = {};
  bool wait = false;
  std::vector<ModelInfo> served = {{.name = "bird",
                                    .aliases = {"gpt-4o"},
                                    .path = "bird.safetensors",
                                    .bytes = 1000,
                                    .digest = "0123456789abcdef",
                                    .version = "rwkv7",
                                    .parameters = 500,
                                    .type = "bf16",
                                    .layers = 2,
                                    .width = 64,
                                    .vocabulary = 65536,
                                    .chat_template = "world",
                                    .loaded = true,
                                    .created = 1700000000}};
  TaskOptions defaults = {};
  ServiceFigures counted = {};
  Embeddings vectors = {.vectors = {{0.6f, 0.8f}}, .tokens = 4, .seconds = 0.1};
  std::optional<TaskError> embedding_error = {};

  std::vector<ChatTask> chats = {};
  std::vector<CompletionTask> completions = {};
  std::vector<EmbeddingTask> embeddings = {};
  std::vector<Ticket> canceled = {};
  std::vector<std::string> loads = {}, unloads = {};
  std::shared_ptr<TaskSink> sink = {};  // of the last task, until it was played

  // Reports the script to the sink of the last task.
  void play() {
    const std::shared_ptr<TaskSink> to = std::exchange(sink, nullptr);
    if (script.refused) return to->failed(*script.refused);
    to->started(script.usage);
    for (int64_t read : script.progress)
      to->progress(read, script.usage.cached_tokens, script.usage.prompt_tokens);
    for (const Delta& delta : script.deltas) to->delta(delta);
    if (script.error) return to->failed(*script.error);
    for (const ChoiceEnd& end : script.ends) to->choice_end(end);
    to->finished(script.usage);
  }

  std::vector<ModelInfo> models() const override { return served; }
  ModelInfo model(const std::string& name) const override {
    for (const ModelInfo& info : served) {
      if (info.name == name) return info;
      for (const std::string& alias : info.aliases)
        if (alias == name) return info;
    }
    if (served.size() == 1) return served.front();
    throw TaskFailure({.kind = TaskError::Kind::not_found,
                       .message = "there is no model '" + name + "'",
                       .param = "model",
                       .code = "model_not_found"});
  }
  TaskOptions default_options(const std::string&) const override { return defaults; }

  Ticket chat(ChatTask task, std::shared_ptr<TaskSink> to) override {
    chats.push_back(std::move(task));
    return start(std::move(to));
  }
  Ticket complete(CompletionTask task, std::shared_ptr<TaskSink> to) override {
    completions.push_back(std::move(task));
    return start(std::move(to));
  }
  void cancel(Ticket ticket) override { canceled.push_back(ticket); }
  void embed(EmbeddingTask task,
             std::function<void(const Embeddings&, const std::optional<TaskError>&)> done) override {
    embeddings.push_back(std::move(task));
    done(vectors, embedding_error);
  }

  // A token is a byte.
  std::vector<int32_t> tokenize(const std::string&, const std::string& text) override {
    std::vector<int32_t> tokens;
    for (char c : text) tokens.push_back(static_cast<unsigned char>(c));
    return tokens;
  }
  std::string detokenize(const std::string&, const std::vector<int32_t>& tokens) override {
    std::string text;
    for (int32_t token : tokens) text += static_cast<char>(token);
    return text;
  }
  int64_t count_tokens(const ChatTask& task) override { return static_cast<int64_t>(rendered(task).size()); }
  std::string rendered(const ChatTask& task) override {
    std::string text;
    for (const Message& message : task.messages) text += message.content + "\n\n";
    return text;
  }
  void load(const std::string& model) override { loads.push_back(model); }
  void unload(const std::string& model) override { unloads.push_back(model); }
  ServiceFigures figures() const override { return counted; }

  std::vector<KeptState> kept = {};
  void make_state(StateTask task, StateDone done) override {
    kept.push_back({.id = "state_" + std::to_string(kept.size()), .name = task.name, .model = task.model});
    done(kept.back(), {});
  }
  std::vector<KeptState> states(const std::string&) const override { return kept; }
  KeptState state(const std::string&, const std::string& state) const override {
    for (const KeptState& one : kept)
      if (one.id == state || one.name == state) return one;
    fail_task(TaskError::Kind::not_found, "there is no state '" + state + "'", "state", "state_not_found");
  }
  std::string state_file(const std::string& key, const std::string& name) override {
    return state(key, name).id;
  }
  KeptState put_state_file(const std::string&, const std::string& model, const std::string& name,
                           const std::string& bytes) override {
    kept.push_back({.id = bytes, .name = name, .model = model});
    return kept.back();
  }
  void mix_states(StateMix mix, StateDone done) override {
    KeptState mixed = state(mix.key, mix.parts.front().state);
    mixed.name = mix.name;
    done(mixed, {});
  }
  void erase_state(const std::string& key, const std::string& name) override {
    const std::string id = state(key, name).id;
    std::erase_if(kept, [&](const KeptState& one) { return one.id == id; });
  }

 private:
  Ticket start(std::shared_ptr<TaskSink> to) {
    sink = std::move(to);
    if (!wait) play();
    return ++tickets_;
  }
  Ticket tickets_ = 0;
};

}  // namespace aviary
