// A service with a small model, and what its tasks report.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoints/open_model.h"
#include "infer/generate.h"
#include "serve/local_service.h"
#include "support/test_folder.h"
#include "support/test_versions.h"

namespace aviary {

// Collects what a task reports.
class Collector : public TaskSink {
 public:
  void started(const Usage& usage) override {
    begun = usage;
    ++starts;
  }
  void progress(int64_t read, int64_t cached, int64_t total) override {
    EXPECT_LE(cached, read);
    EXPECT_LE(read, total);
    ++reports;
  }
  void delta(const Delta& delta) override {
    auto& choice = choices[delta.choice];
    choice.text += delta.content;
    choice.reasoning += delta.reasoning;
    if (delta.call) choice.calls += delta.call->name + delta.call->arguments;
    choice.logprobs.insert(choice.logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
    if (leaves_after > 0 && --leaves_after == 0) left = true;
  }
  void choice_end(const ChoiceEnd& end) override { choices[end.choice].end = end; }
  void finished(const Usage& what) override {
    usage = what;
    ended.set_value();
  }
  void failed(const TaskError& what) override {
    error = what;
    ended.set_value();
  }
  bool abandoned() const override { return left; }

  void wait() {
    auto future = ended.get_future();
    ASSERT_EQ(future.wait_for(std::chrono::seconds(20)), std::future_status::ready) << "the task hangs";
  }

  struct Choice {
    std::string text, reasoning, calls;
    std::vector<TokenLogprob> logprobs;
    ChoiceEnd end;
  };
  std::map<int64_t, Choice> choices;
  Usage begun, usage;
  std::optional<TaskError> error;
  int reports = 0, leaves_after = 0, starts = 0;
  std::atomic<bool> left = false;
  std::promise<void> ended;
};

using CollectorPtr = std::shared_ptr<Collector>;

class LocalServiceTest : public testing::Test {
 protected:
  void SetUp() override { file_ = save("model", 64); }

  std::filesystem::path save(const std::string& name, int64_t width, const std::string& version = "rwkv7") {
    const auto model =
        noisy_model({.version = version, .n_layer = 2, .n_embd = width, .vocab_size = 256, .ctx_len = 512});
    const std::filesystem::path file = folder_ / (name + ".safetensors");
    save_checkpoint(file, *model, make_bytes_tokenizer().get());
    return file;
  }
  static ServedModel served(const std::string& name, const std::filesystem::path& file) {
    ServedModel served{.name = name};
    served.host.file = file;
    served.host.open = [file] { return open_model(file); };
    served.host.chat_template = "world";
    return served;
  }
  ServiceOptions options() const { return {.models = {served("m", file_)}, .sampling = {.top_p = 1}}; }

  static CompletionTask completion(const std::string& prompt, int64_t tokens, uint64_t seed) {
    CompletionTask task{.model = "m", .prompts = {prompt}};
    task.options.max_tokens = tokens;
    task.options.sampling = {.temperature = 1.1, .top_p = 1, .seed = seed};
    return task;
  }
  static CollectorPtr run(Service& service, CompletionTask task) {
    auto sink = std::make_shared<Collector>();
    service.complete(std::move(task), sink);
    sink->wait();
    return sink;
  }
  // The text that `aviary generate` writes.
  std::string generated(const std::string& prompt, int64_t tokens, uint64_t seed) const {
    const Checkpoint checkpoint = open_model(file_);
    Runner runner(*checkpoint.model);
    const GenerateOptions options{.tokens = tokens,
                                  .sampling = {.temperature = 1.1, .top_p = 1, .seed = seed},
                                  .begin = checkpoint.begin_token};
    return generate(runner, *checkpoint.tokenizer, prompt, options).text;
  }

  TestFolder folder_;
  std::filesystem::path file_;
};

inline std::string words(size_t count, uint64_t seed) {
  Random random(seed);
  std::string text;
  while (text.size() < count) text += static_cast<char>(random.below(7) == 0 ? ' ' : 'a' + random.below(26));
  return text;
}

}  // namespace aviary
