#include "serve/protocols.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "support/openai_fixture.h"

namespace aviary {
namespace {

TEST_F(OpenAi, AnswersAChat) {
  service.script.deltas = {{.content = "Hel"}, {.content = "lo"}};
  const auto answer = chat("");
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->header("Content-Type"), "application/json");
  const nlohmann::json reply = json(*answer);
  EXPECT_TRUE(reply["id"].get<std::string>().starts_with("chatcmpl-"));
  EXPECT_EQ(reply["object"], "chat.completion");
  EXPECT_TRUE(reply["created"].is_number_integer());
  EXPECT_EQ(reply["model"], "bird");
  EXPECT_EQ(reply["system_fingerprint"], "fp_0123456789abcdef_1.2");
  EXPECT_EQ(reply["choices"].dump(), R"([{"finish_reason":"stop","index":0,"logprobs":null,)"
                                     R"("message":{"content":"Hello","refusal":null,"role":"assistant"}}])");
  EXPECT_EQ(reply["usage"].dump(),
            R"({"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":0},"prompt_tokens":7,)"
            R"("prompt_tokens_details":{"cached_tokens":3},"total_tokens":9})");
  EXPECT_EQ(reply["timings"]["cache_n"], 3);
  EXPECT_EQ(reply["timings"]["prompt_n"], 4);
  EXPECT_EQ(reply["timings"]["prompt_per_second"], 8.0);
  EXPECT_EQ(reply["timings"]["predicted_per_second"], 8.0);
}

TEST_F(OpenAi, StreamsAChat) {
  service.script.deltas = {{.reasoning = "Hm"}, {.content = "Hel"}, {}, {.content = "lo"}};
  const auto answer = chat(R"("stream": true)");
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->header("Content-Type"), "text/event-stream; charset=utf-8");
  EXPECT_EQ(answer->header("Cache-Control"), "no-store");
  const std::vector<nlohmann::json> chunks = events(*answer);
  ASSERT_EQ(chunks.size(), 5u);
  for (const nlohmann::json& chunk : chunks) {
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_EQ(chunk["id"], chunks[0]["id"]);
    EXPECT_EQ(chunk["created"], chunks[0]["created"]);
    EXPECT_FALSE(chunk.contains("usage"));
  }
  EXPECT_EQ(
      chunks[0]["choices"].dump(),
      R"([{"delta":{"content":"","role":"assistant"},"finish_reason":null,"index":0,"logprobs":null}])");
  EXPECT_EQ(chunks[1]["choices"][0]["delta"].dump(), R"({"reasoning_content":"Hm"})");
  EXPECT_EQ(chunks[2]["choices"][0]["delta"].dump(), R"({"content":"Hel"})");
  EXPECT_EQ(chunks[4]["choices"].dump(),
            R"([{"delta":{},"finish_reason":"stop","index":0,"logprobs":null}])");
  EXPECT_EQ(chunks[4]["timings"]["predicted_n"], 2);
}

TEST_F(OpenAi, TheLastChunkOfAStreamHasTheUsageIfAskedFor) {
  const auto answer = chat(R"("stream": true, "stream_options": {"include_usage": true})");
  const std::vector<nlohmann::json> chunks = events(*answer);
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_TRUE(chunks[0].at("usage").is_null() && chunks[1].at("usage").is_null());
  EXPECT_EQ(chunks[2]["choices"], nlohmann::json::array());
  EXPECT_EQ(chunks[2]["usage"]["total_tokens"], 9);
  EXPECT_EQ(error(*chat(R"("stream_options": {"include_usage": true})")),
            "stream_options: expected only together with \"stream\": true");
}

TEST_F(OpenAi, SeveralChoicesAreInterleaved) {
  service.script.deltas = {{.choice = 1, .content = "b"}, {.choice = 0, .content = "a"}};
  service.script.ends = {{.choice = 1, .reason = FinishReason::length}, {.choice = 0}};
  const nlohmann::json reply = json(*chat(R"("n": 2)"));
  EXPECT_EQ(options().choices, 2);
  EXPECT_EQ(reply["choices"][0]["message"]["content"], "a");
  EXPECT_EQ(reply["choices"][1]["message"]["content"], "b");
  EXPECT_EQ(reply["choices"][1]["finish_reason"], "length");
  const std::vector<nlohmann::json> chunks = events(*chat(R"("n": 2, "stream": true)"));
  std::vector<int> indices;
  for (const nlohmann::json& chunk : chunks) indices.push_back(chunk["choices"][0]["index"]);
  EXPECT_EQ(indices, (std::vector<int>{0, 1, 1, 0, 1, 0}));
  EXPECT_EQ(chunks[4]["choices"][0]["finish_reason"], "length");
  EXPECT_FALSE(chunks[4].contains("timings"));
  EXPECT_TRUE(chunks[5].contains("timings"));
}

TEST_F(OpenAi, AnswersWithCallsOfTools) {
  service.script.deltas = {{.call = Delta::Call{.index = 0, .id = "call_1", .name = "f", .arguments = ""}},
                           {.call = Delta::Call{.index = 0, .arguments = "{\"a\":"}},
                           {.call = Delta::Call{.index = 0, .arguments = "1}"}},
                           {.call = Delta::Call{.index = 1, .id = "call_2", .name = "g", .arguments = "{}"}}};
  service.script.ends = {{.choice = 0, .reason = FinishReason::tool_calls}};
  const std::string tools =
      R"("tools": [{"type": "function", "function": {"name": "f", "description": "d",
         "parameters": {"type": "object", "properties": {"z": {}, "a": {}}}, "strict": true}},
         {"type": "web_search"}])";
  const nlohmann::json choice = json(*chat(tools))["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(choice["message"].dump(),
            R"({"content":null,"refusal":null,"role":"assistant","tool_calls":[)"
            R"({"function":{"arguments":"{\"a\":1}","name":"f"},"id":"call_1","type":"function"},)"
            R"({"function":{"arguments":"{}","name":"g"},"id":"call_2","type":"function"}]})");
  ASSERT_EQ(service.chats.back().tools.size(), 1u);
  const Tool& tool = service.chats.back().tools[0];
  EXPECT_EQ(tool.parameters, R"({"type":"object","properties":{"z":{},"a":{}}})");
  EXPECT_TRUE(tool.name == "f" && tool.description == "d" && tool.strict);

  const std::vector<nlohmann::json> chunks = events(*chat(tools + R"(, "stream": true)"));
  EXPECT_EQ(
      chunks[1]["choices"][0]["delta"].dump(),
      R"({"tool_calls":[{"function":{"arguments":"","name":"f"},"id":"call_1","index":0,"type":"function"}]})");
  EXPECT_EQ(chunks[2]["choices"][0]["delta"].dump(),
            R"({"tool_calls":[{"function":{"arguments":"{\"a\":"},"index":0}]})");
}

TEST_F(OpenAi, ReportsLogprobs) {
  service.script.deltas = {
      {.content = "a",
       .logprobs = {
           {.token = 1,
            .bytes = "\xc3",
            .logprob = -0.5,
            .top = {{.token = 1, .bytes = "a", .logprob = -0.5},
                    {.token = 2, .bytes = "b", .logprob = -std::numeric_limits<double>::infinity()}}}}}};
  const std::string expected =
      R"({"content":[{"bytes":[195],"logprob":-0.5,"token":"�","top_logprobs":[)"
      R"({"bytes":[97],"logprob":-0.5,"token":"a"},{"bytes":[98],"logprob":-9999.0,"token":"b"}]}],"refusal":null})";
  EXPECT_EQ(json(*chat(R"("logprobs": true, "top_logprobs": 2)"))["choices"][0]["logprobs"].dump(), expected);
  EXPECT_EQ(options().top_logprobs, 2);
  EXPECT_TRUE(options().logprobs);
  const auto chunks = events(*chat(R"("logprobs": true, "top_logprobs": 2, "stream": true)"));
  EXPECT_EQ(chunks[1]["choices"][0]["logprobs"].dump(), expected);
  EXPECT_EQ(error(*chat(R"("top_logprobs": 2)")),
            "top_logprobs: expected only together with \"logprobs\": true");
  EXPECT_EQ(error(*chat(R"("logprobs": true, "top_logprobs": 21)")),
            "top_logprobs: expected a whole number from 0 to 20, got the number 21");
}

TEST_F(OpenAi, ARefusalBeforeTheStreamHasItsStatus) {
  service.script.refused = {.kind = TaskError::Kind::overloaded, .message = "full"};
  const auto answer = chat(R"("stream": true)");
  EXPECT_EQ(answer->status, 429);
  EXPECT_EQ(answer->header("Retry-After"), "1");
  EXPECT_FALSE(answer->streamed);
}

TEST_F(OpenAi, AnErrorWithinAStreamIsAnEvent) {
  service.script.deltas = {{.content = "a"}};
  service.script.error = {.kind = TaskError::Kind::internal, .message = "broken"};
  const auto answer = chat(R"("stream": true)");
  EXPECT_EQ(answer->status, 200);
  EXPECT_TRUE(answer->ended);
  EXPECT_EQ(
      answer->writes.back(),
      "data: "
      "{\"error\":{\"message\":\"broken\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n");
  EXPECT_EQ(error(*chat(""), 500), "broken");
}

TEST_F(OpenAi, AWaitingStreamBeginsAfterThreeTicksAndThenPings) {
  service.wait = true;
  const auto answer = chat(R"("stream": true)");
  router.tick(), router.tick();
  EXPECT_FALSE(answer->streamed);
  router.tick();
  EXPECT_TRUE(answer->streamed);
  ASSERT_EQ(answer->writes.size(), 1u);
  EXPECT_NE(answer->writes[0].find("\"role\":\"assistant\""), std::string::npos);
  for (int i = 0; i < 3; ++i) router.tick();
  EXPECT_EQ(answer->writes.back(), ": ping\n\n");
  service.play();
  EXPECT_EQ(answer->writes.size(), 4u);
  EXPECT_TRUE(answer->ended);
}

TEST_F(OpenAi, TheTaskSeesThatTheClientHasLeft) {
  service.wait = true;
  const auto answer = chat(R"("stream": true)");
  EXPECT_FALSE(service.sink->abandoned() || service.sink->busy());
  answer->left = answer->slow = true;
  EXPECT_TRUE(service.sink->abandoned() && service.sink->busy());
}

TEST_F(OpenAi, ProgressIsPartOfTheStream) {
  service.script.progress = {4, 7};
  const auto chunks = events(*chat(R"("stream": true, "return_progress": true)"));
  EXPECT_EQ(chunks[2]["prompt_progress"]["processed"], 7);
  EXPECT_EQ(chunks[2]["prompt_progress"]["cache"], 3);
  EXPECT_EQ(chunks[2]["prompt_progress"]["total"], 7);
  EXPECT_TRUE(chunks[2]["prompt_progress"]["time_ms"].is_number_integer());
}

TEST_F(OpenAi, CountsTheTokensOfAChat) {
  const auto answer = ask("POST", "/v1/chat/completions/input_tokens",
                          R"({"messages": [{"role": "user", "content": "abc"}]})");
  EXPECT_EQ(answer->body, R"({"object":"response.input_tokens","input_tokens":5})");
}

TEST_F(OpenAi, AnswersACompletion) {
  service.script.deltas = {{.content = "x"}, {.choice = 1, .content = "y"}};
  service.script.ends = {{.choice = 0}, {.choice = 1, .reason = FinishReason::length}};
  const nlohmann::json reply = json(*complete(R"("prompt": ["a", [1, 2]], "max_tokens": 3)"));
  EXPECT_TRUE(reply["id"].get<std::string>().starts_with("cmpl-"));
  EXPECT_EQ(reply["object"], "text_completion");
  EXPECT_EQ(reply["choices"].dump(), R"([{"finish_reason":"stop","index":0,"logprobs":null,"text":"x"},)"
                                     R"({"finish_reason":"length","index":1,"logprobs":null,"text":"y"}])");
  EXPECT_EQ(service.completions.at(0).prompts, (std::vector<Prompt>{"a", std::vector<int32_t>{1, 2}}));
  EXPECT_EQ(service.completions.at(0).options.max_tokens, 3);
}

TEST_F(OpenAi, StreamsACompletion) {
  service.script.deltas = {{.content = "x"}};
  const auto chunks =
      events(*complete(R"("prompt": "a", "stream": true, "stream_options": {"include_usage": true})"));
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[0]["object"], "text_completion");
  EXPECT_EQ(chunks[0]["choices"].dump(), R"([{"finish_reason":null,"index":0,"logprobs":null,"text":"x"}])");
  EXPECT_EQ(chunks[1]["choices"].dump(), R"([{"finish_reason":"stop","index":0,"logprobs":null,"text":""}])");
  EXPECT_EQ(chunks[2]["choices"], nlohmann::json::array());
}

TEST_F(OpenAi, ACompletionEchoesThePromptWithItsLogprobs) {
  service.script.deltas = {
      {.content = "\xc3\xa4"
                  "b",
       .logprobs = {{.bytes = "\xc3\xa4", .logprob = 0},
                    {.bytes = "b", .logprob = -1, .top = {{.bytes = "c", .logprob = -0.5}}}}}};
  const nlohmann::json reply =
      json(*complete(R"("prompt": "äb", "echo": true, "logprobs": 1, "max_tokens": 0)"));
  EXPECT_TRUE(service.completions.at(0).echo);
  EXPECT_EQ(service.completions.at(0).options.max_tokens, 0);
  EXPECT_EQ(service.completions.at(0).options.top_logprobs, 1);
  EXPECT_EQ(
      reply["choices"][0]["logprobs"].dump(),
      R"({"text_offset":[0,1],"token_logprobs":[null,-1.0],"tokens":["ä","b"],"top_logprobs":[null,{"c":-0.5}]})");
}

TEST_F(OpenAi, TokensOfACompletionThatAreNotUtf8StayApart) {
  service.script.deltas = {
      {.content = "a", .logprobs = {{.bytes = "\xc3", .top = {{.bytes = "\xc3"}, {.bytes = "\xc4"}}}}}};
  const nlohmann::json reply = json(*complete(R"("prompt": "a", "logprobs": 2)"));
  const nlohmann::json& logprobs = reply["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"], nlohmann::json::array({"bytes:\\xc3"}));
  EXPECT_EQ(logprobs["top_logprobs"][0].dump(), R"({"bytes:\\xc3":0.0,"bytes:\\xc4":0.0})");
}

TEST_F(OpenAi, OffsetsOfAStreamGoOn) {
  service.script.deltas = {{.content = "ab", .logprobs = {{.bytes = "ab"}}},
                           {.content = "c", .logprobs = {{.bytes = "c"}}}};
  const auto chunks = events(*complete(R"("prompt": "a", "stream": true, "logprobs": 0)"));
  EXPECT_EQ(chunks[0]["choices"][0]["logprobs"]["text_offset"], nlohmann::json::array({0}));
  EXPECT_EQ(chunks[1]["choices"][0]["logprobs"]["text_offset"], nlohmann::json::array({2}));
  EXPECT_EQ(chunks[1]["choices"][0]["logprobs"]["token_logprobs"], nlohmann::json::array({0.0}));
}

TEST_F(OpenAi, RefusesCompletionsThatItCannotDo) {
  EXPECT_EQ(error(*complete("")), "prompt: expected a text, a list of texts or token ids, but it is missing");
  EXPECT_EQ(error(*complete(R"("prompt": "a", "suffix": "b")")),
            "suffix: a text cannot be filled in between two others here; leave it out");
  EXPECT_EQ(error(*complete(R"("prompt": "a", "n": 3, "best_of": 2)")), "best_of: expected at least n texts");
  EXPECT_EQ(error(*complete(R"("prompt": "a", "best_of": 2, "stream": true)")),
            "best_of: a stream cannot wait for the best texts; expected n, or no stream");
  complete(R"("prompt": "a", "n": 2, "best_of": 3, "suffix": "")");
  EXPECT_EQ(service.completions.back().options.best_of, 3);
}

TEST_F(OpenAi, AnswersWithEmbeddings) {
  service.vectors.vectors = {{0.6f, 0.8f}, {1.0f, 0.0f}};
  const auto answer =
      ask("POST", "/v1/embeddings", R"({"input": ["a", "b"], "model": "bird", "dimensions": 2})");
  const nlohmann::json reply = json(*answer);
  EXPECT_EQ(reply["object"], "list");
  EXPECT_EQ(reply["model"], "bird");
  EXPECT_EQ(reply["usage"].dump(), R"({"prompt_tokens":4,"total_tokens":4})");
  EXPECT_EQ(reply["data"][1].dump(), R"({"embedding":[1.0,0.0],"index":1,"object":"embedding"})");
  EXPECT_EQ(service.embeddings.at(0).dimensions, 2);
  EXPECT_EQ(service.embeddings.at(0).inputs.size(), 2u);
  const nlohmann::json coded =
      json(*ask("POST", "/v1/embeddings", R"({"input": [[1, 2]], "encoding_format": "base64"})"));
  EXPECT_EQ(coded["data"][1]["embedding"], "AACAPwAAAAA=");
  EXPECT_EQ(service.embeddings.at(1).inputs, (std::vector<Prompt>{std::vector<int32_t>{1, 2}}));
  service.embedding_error = {.kind = TaskError::Kind::overloaded, .message = "full"};
  EXPECT_EQ(ask("POST", "/v1/embeddings", R"({"input": "a"})")->status, 429);
  EXPECT_EQ(error(*ask("POST", "/v1/embeddings", R"({"input": []})")),
            "input: expected at least one text, got an empty list");
}

TEST_F(OpenAi, ListsModels) {
  const nlohmann::json list = json(*ask("GET", "/v1/models"));
  EXPECT_EQ(list["object"], "list");
  EXPECT_EQ(list["data"][0]["id"], "bird");
  EXPECT_EQ(list["data"][0]["object"], "model");
  EXPECT_EQ(list["data"][0]["created"], 1700000000);
  EXPECT_EQ(json(*ask("GET", "/models"))["data"].size(), 1u);
  EXPECT_EQ(json(*ask("GET", "/v1/models/gpt-4o"))["id"], "bird");
  EXPECT_EQ(error(*ask("GET", "/v1/models/owner/other"), 404), "there is no model 'owner/other'");
}

TEST_F(OpenAi, AnUnknownModelIsNotFoundIfThereAreSeveral) {
  service.served.push_back({.name = "other"});
  const auto answer = ask("POST", "/v1/completions", R"({"model": "third", "prompt": "a"})");
  EXPECT_EQ(error(*answer, 404), "there is no model 'third'");
  EXPECT_EQ(json(*answer)["error"]["code"], "model_not_found");
}

}  // namespace
}  // namespace aviary
