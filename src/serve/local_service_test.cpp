#include "serve/local_service.h"

#include <atomic>
#include <cmath>
#include <future>

#include "base/error.h"
#include "checkpoints/open_model.h"
#include "infer/generate.h"
#include "support/local_service.h"

namespace aviary {
namespace {

TEST_F(LocalServiceTest, WritesWhatGenerateWrites) {
  LocalService service(options());
  const auto sink = run(service, completion("Once", 40, 7));
  ASSERT_FALSE(sink->error) << sink->error->message;
  EXPECT_EQ(sink->choices[0].text, generated("Once", 40, 7));
  EXPECT_EQ(sink->choices[0].end.reason, FinishReason::length);
  EXPECT_EQ(sink->usage.prompt_tokens, 4);
  EXPECT_EQ(sink->usage.cached_tokens, 0);
  EXPECT_EQ(sink->usage.tokens, 40);
}

TEST_F(LocalServiceTest, AKnownPromptIsNotReadAgainAndGivesTheSameText) {
  LocalService service(options());
  const std::string prompt = words(700, 1);
  // Only letters, so that the text has the tokens that were written.
  const auto letters = [](const std::string& text, uint64_t seed) {
    CompletionTask task = completion(text, 30, seed);
    for (int32_t letter = 'a'; letter <= 'z'; ++letter) task.options.sampling.bias.push_back({letter, 100});
    return task;
  };
  const auto first = run(service, letters(prompt, 3)), second = run(service, letters(prompt, 3));
  EXPECT_EQ(second->usage.cached_tokens, 700);
  EXPECT_EQ(second->choices[0].text, first->choices[0].text);
  CompletionTask uncached = letters(prompt, 3);
  uncached.options.use_cache = false;
  const auto third = run(service, uncached);
  EXPECT_EQ(third->usage.cached_tokens, 0);
  EXPECT_EQ(third->choices[0].text, first->choices[0].text);
  // The text goes on from where its reply ended.
  const auto longer = run(service, letters(prompt + first->choices[0].text + words(50, 2), 4));
  EXPECT_GE(longer->usage.cached_tokens, 729);
  CompletionTask again = letters(prompt + first->choices[0].text + words(50, 2), 4);
  again.options.use_cache = false;
  EXPECT_EQ(longer->choices[0].text, run(service, again)->choices[0].text);
}

// As when many clients with one system prompt start at the same time.
TEST_F(LocalServiceTest, WhatRequestsBeginWithIsReadOnceAlsoIfTheyComeTogether) {
  LocalService service(options());
  constexpr uint64_t clients = 12;
  const auto asked = [](uint64_t i) { return completion(words(900, 1) + words(20, 50 + i), 10, i); };
  std::vector<CollectorPtr> sinks;
  for (uint64_t i = 0; i < clients; ++i)
    service.complete(asked(i), sinks.emplace_back(std::make_shared<Collector>()));
  int64_t read = 0;
  for (uint64_t i = 0; i < clients; ++i) {
    sinks[i]->wait();
    ASSERT_FALSE(sinks[i]->error) << sinks[i]->error->message;
    read += sinks[i]->usage.prompt_tokens - sinks[i]->usage.cached_tokens;
    EXPECT_EQ(sinks[i]->choices[0].text, generated(words(900, 1) + words(20, 50 + i), 10, i));
  }
  // The first reads all, the second finds out where they part, the others read what is their own.
  EXPECT_LE(read, 900 + 200 + 32 * static_cast<int64_t>(clients));
}

TEST_F(LocalServiceTest, ARequestDoesNotWaitForOneThatWasCanceled) {
  LocalService service(options());
  const std::string beginning = words(3000, 1);
  const auto first = std::make_shared<Collector>(), second = std::make_shared<Collector>(),
             third = std::make_shared<Collector>();
  const Service::Ticket ticket = service.complete(completion(beginning + words(10, 2), 5, 1), first);
  const Service::Ticket waiting = service.complete(completion(beginning + words(10, 3), 5, 1), second);
  service.complete(completion(beginning + words(10, 4), 5, 1), third);
  service.cancel(waiting);
  service.cancel(ticket);
  first->wait();
  second->wait();
  third->wait();
  EXPECT_FALSE(third->error);
  EXPECT_EQ(third->choices[0].text, generated(beginning + words(10, 4), 5, 1));
}

TEST_F(LocalServiceTest, EachOfSeveralChoicesIsTheTextOfItsSeed) {
  LocalService service(options());
  CompletionTask task = completion(words(300, 5), 25, 100);
  task.prompts.emplace_back(words(20, 6));
  task.options.choices = 3;
  const auto sink = run(service, task);
  ASSERT_FALSE(sink->error) << sink->error->message;
  ASSERT_EQ(sink->choices.size(), 6u);
  for (int64_t i = 0; i < 6; ++i)
    EXPECT_EQ(sink->choices[i].text,
              generated(i < 3 ? words(300, 5) : words(20, 6), 25, 100 + static_cast<uint64_t>(i % 3)));
  EXPECT_EQ(sink->usage.prompt_tokens, 320) << "each prompt counts once";
  EXPECT_EQ(sink->usage.tokens, 150);
}

class Interleaved : public LocalServiceTest {
 protected:
  void run_all(uint64_t requests);
};

// Requests that come, share beginnings, and are left by their clients at random.
void Interleaved::run_all(uint64_t requests) {
  ServiceOptions small = options();
  small.models[0].host.engine.texts = 5;
  small.models[0].host.cache.bytes = 4 << 20;
  small.waiting_tasks = 2000;
  LocalService service(small);
  Random random(9);
  struct Asked {
    CompletionTask task;
    CollectorPtr sink;
  };
  std::vector<Asked> all;
  for (uint64_t i = 0; i < requests; ++i) {
    // Prompts that share beginnings.
    const std::string prompt =
        words(static_cast<size_t>(1 + random.below(500)), static_cast<uint64_t>(random.below(3))) +
        words(static_cast<size_t>(random.below(40)), i);
    all.push_back({completion(prompt, 1 + random.below(20), i), std::make_shared<Collector>()});
    if (random.below(6) == 0) all.back().sink->leaves_after = 3;
    service.complete(all.back().task, all.back().sink);
  }
  for (Asked& asked : all) asked.sink->wait();
  for (size_t i = 0; i < all.size(); i += 3) {
    const Asked& asked = all[i];
    if (asked.sink->left) continue;
    ASSERT_FALSE(asked.sink->error) << asked.sink->error->message;
    EXPECT_EQ(asked.sink->choices[0].text,
              generated(std::get<std::string>(asked.task.prompts[0]), *asked.task.options.max_tokens,
                        asked.task.options.sampling.seed));
  }
}

TEST_F(Interleaved, ManyRequestsAtOnceAreEachAsAlone) { run_all(120); }

class LocalServiceLong : public Interleaved {};

TEST_F(LocalServiceLong, AThousandRequestsAtOnceAreEachAsAlone) { run_all(1000); }

TEST_F(LocalServiceTest, TheBestOfSeveralTextsIsTheMostProbable) {
  LocalService service(options());
  CompletionTask task = completion("abc", 6, 11);
  task.options.logprobs = true;
  task.options.choices = 4;
  const auto mean = [](const Collector::Choice& choice) {
    double sum = 0;
    for (const TokenLogprob& token : choice.logprobs) sum += token.logprob;
    return sum / static_cast<double>(choice.logprobs.size());
  };
  const auto all = run(service, task);
  std::string best;
  double most = -1e9;
  for (const auto& [number, choice] : all->choices)
    if (mean(choice) > most) most = mean(choice), best = choice.text;
  task.options.choices = 1;
  task.options.best_of = 4;
  const auto one = run(service, task);
  ASSERT_EQ(one->choices.size(), 1u);
  EXPECT_EQ(one->choices[0].text, best);
}

TEST_F(LocalServiceTest, APromptThatIsEchoedHasTheProbabilitiesOfItsTokens) {
  LocalService service(options());
  CompletionTask task = completion(words(300, 8), 0, 1);
  task.echo = true;
  task.options.logprobs = true;
  task.options.top_logprobs = 2;
  const auto sink = run(service, task);
  ASSERT_FALSE(sink->error) << sink->error->message;
  const Collector::Choice& choice = sink->choices[0];
  EXPECT_EQ(choice.text, words(300, 8));
  ASSERT_EQ(choice.logprobs.size(), 300u);
  EXPECT_TRUE(std::isnan(choice.logprobs[0].logprob));
  EXPECT_LT(choice.logprobs[1].logprob, 0);
  EXPECT_EQ(choice.logprobs[1].top.size(), 2u);
  EXPECT_GE(choice.logprobs[1].top[0].logprob, choice.logprobs[1].logprob);
  EXPECT_EQ(sink->usage.tokens, 0);
}

TEST_F(LocalServiceTest, AConversationGoesOnWithoutReadingItAgain) {
  LocalService service(options());
  ChatTask task{.model = "m", .messages = {{.role = Role::user, .content = words(400, 1)}}};
  task.options = service.default_options("m");
  task.options.max_tokens = 20;
  task.options.ignore_end = true;
  const auto ask = [&] {
    auto sink = std::make_shared<Collector>();
    service.chat(task, sink);
    sink->wait();
    return sink;
  };
  const auto first = ask();
  ASSERT_FALSE(first->error) << first->error->message;
  const int64_t prompt = first->usage.prompt_tokens;
  EXPECT_EQ(service.count_tokens(task), prompt);
  task.messages.push_back({.role = Role::assistant, .content = "yes"});
  task.messages.push_back({.role = Role::user, .content = "more"});
  const auto second = ask();
  EXPECT_GE(second->usage.cached_tokens, prompt - 20);
  EXPECT_LE(second->usage.prompt_tokens - second->usage.cached_tokens, 60);
}

TEST_F(LocalServiceTest, ATaskEndsWhenItsReaderLeavesOrItIsCanceled) {
  LocalService service(options());
  auto sink = std::make_shared<Collector>();
  sink->leaves_after = 2;
  service.complete(completion("abc", 1'000'000'000, 1), sink);
  sink->wait();
  EXPECT_EQ(sink->choices[0].end.reason, FinishReason::canceled);
  auto other = std::make_shared<Collector>();
  const Service::Ticket ticket = service.complete(completion("abc", 1'000'000'000, 1), other);
  while (service.figures().running == 0) std::this_thread::yield();
  service.cancel(ticket);
  other->wait();
  EXPECT_EQ(other->choices[0].end.reason, FinishReason::canceled);
}

// Also those that are being prepared at this moment.
TEST_F(LocalServiceTest, EndingTheServiceEndsItsTasks) {
  for (int round = 0; round < 30; ++round) {
    auto service = std::make_unique<LocalService>(options());
    std::vector<CollectorPtr> sinks;
    for (int i = 0; i < 5; ++i) {
      sinks.push_back(std::make_shared<Collector>());
      service->complete(completion("abc", 1'000'000'000, 1), sinks.back());
    }
    while (service->figures().running == 0) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::microseconds(10 * round));
    service.reset();
    for (const auto& sink : sinks) sink->wait();
  }
}

TEST_F(LocalServiceTest, BadRequestsAreRefusedWithTheFieldThatIsWrong) {
  ServiceOptions few = options();
  few.models.push_back(served("other", file_));
  LocalService service(few);
  const auto error_of = [&](CompletionTask task) {
    const auto sink = run(service, std::move(task));
    return sink->error.value_or(TaskError{.message = "no error"});
  };
  CompletionTask task = completion("abc", 3, 1);
  task.model = "none";
  EXPECT_EQ(error_of(task).code, "model_not_found");
  EXPECT_NE(error_of(task).message.find("m, other"), std::string::npos) << error_of(task).message;
  task = completion("abc", 3, 1);
  task.options.choices = 0;
  EXPECT_EQ(error_of(task).param, "n");
  task = completion("abc", 3, 1);
  task.options.sampling.temperature = -1;
  EXPECT_EQ(error_of(task).kind, TaskError::Kind::bad_request);
  task = completion("abc", 3, 1);
  task.prompts = {std::vector<int32_t>{1, 256}};
  EXPECT_EQ(error_of(task).param, "prompt");
  task = completion("abc", 3, 1);
  task.options.stop = {""};
  EXPECT_EQ(error_of(task).param, "stop");
}

TEST_F(LocalServiceTest, MoreRequestsThanMayWaitAreRefused) {
  ServiceOptions few = options();
  few.waiting_tasks = 2;
  LocalService service(few);
  std::vector<CollectorPtr> sinks;
  for (int i = 0; i < 3; ++i) {
    sinks.push_back(std::make_shared<Collector>());
    service.complete(completion("abc", 1'000'000'000, 1), sinks.back());
  }
  sinks[2]->wait();
  ASSERT_TRUE(sinks[2]->error);
  EXPECT_EQ(sinks[2]->error->kind, TaskError::Kind::overloaded);
  sinks[0]->left = sinks[1]->left = true;
  sinks[0]->wait();
  sinks[1]->wait();
}

TEST_F(LocalServiceTest, TheModelThatWasNotUsedForLongestMakesRoom) {
  ServiceOptions two = options();
  two.models.push_back(served("b", save("b", 32)));
  LocalService service(two);
  EXPECT_FALSE(service.model("m").loaded);
  service.load("m");
  EXPECT_TRUE(service.model("m").loaded);
  EXPECT_EQ(service.model("m").width, 64);
  CompletionTask task = completion("abc", 3, 1);
  task.model = "b";
  EXPECT_FALSE(run(service, task)->error);
  EXPECT_FALSE(service.model("m").loaded);
  EXPECT_TRUE(service.model("b:latest").loaded);
  service.unload("b");
  EXPECT_FALSE(service.model("b").loaded);
}

TEST_F(LocalServiceTest, VectorsHaveTheLengthThatIsAsked) {
  LocalService service(options());
  const auto embed = [&](const EmbeddingTask& task) {
    std::promise<std::pair<Service::Embeddings, std::optional<TaskError>>> result;
    service.embed(task, [&](const Service::Embeddings& vectors, const std::optional<TaskError>& error) {
      result.set_value({vectors, error});
    });
    return result.get_future().get();
  };
  EmbeddingTask task{
      .model = "m", .inputs = {std::string("one text"), std::vector<int32_t>{'a', 'b'}}, .dimensions = 8};
  const auto [two, no_error] = embed(task);
  ASSERT_FALSE(no_error) << no_error->message;
  ASSERT_EQ(two.vectors.size(), 2u);
  EXPECT_EQ(two.vectors[0].size(), 8u);
  double length = 0;
  for (const float x : two.vectors[1]) length += x * x;
  EXPECT_NEAR(length, 1, 1e-5);
  task.inputs = {std::string("one text")};
  EXPECT_EQ(embed(task).first.vectors[0], two.vectors[0]);
  task.dimensions = 100000;
  EXPECT_EQ(embed(task).second->param, "dimensions");
  task.inputs = {std::vector<int32_t>{-1}};
  EXPECT_EQ(embed(task).second->param, "input");
}

TEST_F(LocalServiceTest, AThoughtEndsAtItsLimit) {
  LocalService service(options());
  ChatTask task{.model = "m", .messages = {{.role = Role::user, .content = "why?"}}};
  task.options = service.default_options("m");
  task.options.max_tokens = 60;
  task.chat_template = "g1";
  task.thinking_tokens = 12;
  auto sink = std::make_shared<Collector>();
  service.chat(task, sink);
  sink->wait();
  ASSERT_FALSE(sink->error) << sink->error->message;
  EXPECT_LE(sink->usage.reasoning_tokens, 30);
  EXPECT_NE(sink->choices[0].text, "");
}

TEST_F(LocalServiceTest, CountsWhatItsTasksReadAndWrite) {
  LocalService service(options());
  run(service, completion("some words", 5, 1));
  run(service, completion("some words", 7, 1));
  const ServiceFigures figures = service.figures();
  EXPECT_EQ(figures.requests, 2);
  EXPECT_EQ(figures.failed, 0);
  EXPECT_EQ(figures.prompt_tokens, 20);
  EXPECT_EQ(figures.cached_tokens, 10);
  EXPECT_EQ(figures.tokens, 12);
  EXPECT_GT(figures.seconds, 0);
}

// Also while the model is being loaded for it.
TEST_F(LocalServiceTest, ATaskCanBeCanceledFromTheMomentItIsKnown) {
  for (int wait = 0; wait < 40; ++wait) {
    LocalService service(options());
    auto sink = std::make_shared<Collector>();
    const Service::Ticket ticket = service.complete(completion("abc", 1'000'000'000, 1), sink);
    std::this_thread::sleep_for(std::chrono::milliseconds(wait / 2));
    service.cancel(ticket);
    sink->wait();
    if (HasFatalFailure()) return;
  }
}

TEST_F(LocalServiceTest, ARequestThatSaysNothingHasNoPenalties) {
  LocalService service({.models = {served("m", file_)}});
  EXPECT_EQ(service.default_options("m").sampling.presence_penalty, 0);
  EXPECT_EQ(service.default_options("m").sampling.frequency_penalty, 0);
}

TEST_F(LocalServiceTest, AnyNameMeansTheOnlyModel) {
  LocalService service(options());
  EXPECT_EQ(service.model("gpt-5").name, "m");
}

}  // namespace
}  // namespace aviary
