#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "serve/protocols.h"
#include "support/fake_service.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

class Llama : public testing::Test {
 protected:
  Llama() {
    add_openai(router);
    add_llama(router);
  }
  std::shared_ptr<FakeAnswer> ask(const std::string& method, const std::string& path,
                                  const std::string& body = "", HttpHeaders query = {}) {
    auto answer = std::make_shared<FakeAnswer>();
    router.handle({.method = method, .path = path, .query = std::move(query), .body = body}, answer);
    EXPECT_EQ(answer->answers, 1);
    return answer;
  }
  static Json json(const FakeAnswer& answer) { return parse_json(answer.body, "answer"); }

  FakeService service;
  Router router{service, {.version = "1.2"}};
};

TEST_F(Llama, AnswersACompletion) {
  service.script.deltas = {{.content = "Hello",
                            .logprobs = {{.token = 5,
                                          .bytes = "Hello",
                                          .logprob = -0.5,
                                          .top = {{.token = 5, .bytes = "Hello", .logprob = -0.5}}}}}};
  service.script.ends = {{.choice = 0, .stop_string = "\n", .tokens = 1}};
  const Json reply = json(*ask("POST", "/completion",
                               R"({"prompt": "a", "n_predict": 4, "n_probs": 1, "return_tokens": true,
                                   "id_slot": -1, "samplers": ["top_k"], "stop": ["\n"]})"));
  EXPECT_EQ(reply["content"], "Hello");
  EXPECT_EQ(reply["stop"], true);
  EXPECT_EQ(reply["stop_type"], "word");
  EXPECT_EQ(reply["stopping_word"], "\n");
  EXPECT_EQ(reply["tokens"], Json::array({5}));
  EXPECT_EQ(reply["tokens_predicted"], 1);
  EXPECT_EQ(reply["tokens_evaluated"], 7);
  EXPECT_EQ(reply["tokens_cached"], 3);
  EXPECT_EQ(reply["model"], "bird");
  EXPECT_EQ(reply["completion_probabilities"][0]["id"], 5);
  EXPECT_EQ(reply["completion_probabilities"][0]["top_logprobs"][0]["logprob"], -0.5);
  EXPECT_EQ(reply["timings"]["prompt_n"], 4);
  EXPECT_EQ(service.completions.at(0).options.max_tokens, 4);
  EXPECT_EQ(service.completions.at(0).options.top_logprobs, 1);
}

TEST_F(Llama, SaysWhyACompletionEnded) {
  auto type = [&](FinishReason reason) {
    service.script.ends = {{.choice = 0, .reason = reason}};
    return json(*ask("POST", "/completion", R"({"prompt": [1, 2], "n_predict": -1})"))["stop_type"];
  };
  EXPECT_EQ(type(FinishReason::stop), "eos");
  EXPECT_EQ(type(FinishReason::length), "limit");
  EXPECT_EQ(service.completions.back().options.max_tokens, std::nullopt);
  EXPECT_EQ(service.completions.back().prompts, (std::vector<Prompt>{std::vector<int32_t>{1, 2}}));
}

TEST_F(Llama, StreamsACompletion) {
  service.script.deltas = {{.content = "Hel"}, {.content = "lo"}};
  const auto answer = ask("POST", "/completion", R"({"prompt": {"prompt_string": "a"}, "stream": true})");
  ASSERT_EQ(answer->writes.size(), 3u);
  EXPECT_EQ(answer->writes[0],
            "data: {\"index\":0,\"content\":\"Hel\",\"tokens\":[],\"id_slot\":0,\"stop\":false}\n\n");
  const Json last = parse_json(answer->writes[2].substr(6), "event");
  EXPECT_EQ(last["stop"], true);
  EXPECT_EQ(last["content"], "");
  EXPECT_EQ(last["timings"]["predicted_n"], 2);
  EXPECT_TRUE(answer->ended);
}

TEST_F(Llama, SeveralPromptsAreAList) {
  service.script.ends = {{.choice = 0}, {.choice = 1}};
  const Json reply = json(*ask("POST", "/completion", R"({"prompt": ["a", "b"]})"));
  ASSERT_EQ(reply.size(), 2u);
  EXPECT_EQ(reply[1]["index"], 1);
}

TEST_F(Llama, Tokenizes) {
  EXPECT_EQ(ask("POST", "/tokenize", R"({"content": "ab", "add_special": true})")->body,
            R"({"tokens":[97,98]})");
  EXPECT_EQ(ask("POST", "/tokenize", R"({"content": "aä", "with_pieces": true})")->body,
            R"({"tokens":[{"id":97,"piece":"a"},{"id":195,"piece":[195]},{"id":164,"piece":[164]}]})");
  EXPECT_EQ(ask("POST", "/detokenize", R"({"tokens": [97, 98]})")->body, R"({"content":"ab"})");
  EXPECT_EQ(ask("POST", "/tokenize", R"({"content": 3})")->status, 400);
  EXPECT_EQ(json(*ask("POST", "/detokenize", R"({"tokens": [1, 65536]})"))["error"]["message"],
            "tokens[1]: expected a token id below 65536");
}

TEST_F(Llama, ShowsThePromptOfAChat) {
  EXPECT_EQ(ask("POST", "/apply-template", R"({"messages": [{"role": "user", "content": "Hi"}]})")->body,
            R"({"prompt":"Hi\n\n"})");
}

TEST_F(Llama, TellsAboutItself) {
  service.counted = {.running = 2,
                     .waiting = 1,
                     .requests = 9,
                     .prompt_tokens = 100,
                     .cached_tokens = 60,
                     .tokens = 30,
                     .prompt_seconds = 2,
                     .seconds = 3,
                     .cache_bytes = 12345678};
  EXPECT_EQ(ask("GET", "/health")->body, R"({"status":"ok"})");
  EXPECT_EQ(ask("GET", "/v1/health")->status, 200);
  const Json props = json(*ask("GET", "/props"));
  EXPECT_EQ(props["model_alias"], "bird");
  EXPECT_EQ(props["total_slots"], 2);
  EXPECT_EQ(props["chat_template"], "world");
  EXPECT_EQ(props["default_generation_settings"]["params"]["n_predict"], -1);
  EXPECT_EQ(json(*ask("GET", "/slots")).size(), 2u);
  const auto metrics = ask("GET", "/metrics");
  EXPECT_TRUE(metrics->header("Content-Type").starts_with("text/plain"));
  for (const char* line : {"llamacpp:prompt_tokens_total 40\n", "llamacpp:requests_deferred 1\n",
                           "llamacpp:prompt_tokens_seconds 20\n", "# TYPE aviary:cache_bytes gauge\n",
                           "aviary:cache_bytes 12345678\n"})
    EXPECT_NE(metrics->body.find(line), std::string::npos) << line << metrics->body;
}

TEST_F(Llama, HealthNeedsNoKey) {
  Router guarded(service, {.keys = {"k"}});
  add_llama(guarded);
  for (const auto& [path, status] :
       std::vector<std::pair<std::string, int>>{{"/health", 200}, {"/props", 401}}) {
    const auto answer = std::make_shared<FakeAnswer>();
    guarded.handle({.method = "GET", .path = path}, answer);
    EXPECT_EQ(answer->status, status) << path;
  }
}

TEST_F(Llama, LoadsAndUnloadsModels) {
  EXPECT_EQ(ask("POST", "/models/load", R"({"model": "gpt-4o"})")->body, R"({"success":true})");
  EXPECT_EQ(ask("POST", "/models/unload", R"({"model": "bird"})")->status, 200);
  EXPECT_EQ(service.loads, std::vector<std::string>{"bird"});
  EXPECT_EQ(service.unloads, std::vector<std::string>{"bird"});
  EXPECT_EQ(ask("POST", "/models/load", "{}")->status, 400);
}

}  // namespace
}  // namespace aviary
