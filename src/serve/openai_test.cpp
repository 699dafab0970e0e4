#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "serve/protocols.h"
#include "support/fake_service.h"

namespace aviary {
namespace {

using Json = nlohmann::json;

class OpenAi : public testing::Test {
 protected:
  OpenAi() { add_openai(router); }

  std::shared_ptr<FakeAnswer> ask(const std::string& method, const std::string& path,
                                  const std::string& body = "") {
    auto answer = std::make_shared<FakeAnswer>();
    router.handle({.method = method, .path = path, .body = body}, answer);
    EXPECT_LE(answer->answers, 1);
    return answer;
  }
  std::shared_ptr<FakeAnswer> chat(const std::string& fields) {
    return ask("POST", "/v1/chat/completions",
               R"({"model": "bird", "messages": [{"role": "user", "content": "Hi"}])" +
                   (fields.empty() ? "" : ", " + fields) + "}");
  }
  std::shared_ptr<FakeAnswer> complete(const std::string& fields) {
    return ask("POST", "/v1/completions", "{" + fields + "}");
  }
  static Json json(const FakeAnswer& answer) { return parse_json(answer.body, "answer"); }
  // The events of a stream, all but the last, which must be [DONE].
  static std::vector<Json> events(const FakeAnswer& answer) {
    EXPECT_TRUE(answer.streamed && answer.ended);
    std::vector<Json> all;
    for (size_t i = 0; i + 1 < answer.writes.size(); ++i) {
      const std::string& write = answer.writes[i];
      EXPECT_TRUE(write.starts_with("data: ") && write.ends_with("\n\n")) << write;
      EXPECT_EQ(write.find('\n'), write.size() - 2);
      all.push_back(parse_json(write.substr(6), "event"));
    }
    EXPECT_EQ(answer.writes.back(), "data: [DONE]\n\n");
    return all;
  }
  // The message of an error with this status, and its param.
  static std::string error(const FakeAnswer& answer, int status = 400) {
    EXPECT_EQ(answer.status, status) << answer.body;
    const Json error = json(answer).at("error");
    EXPECT_TRUE(error.at("message").is_string() && error.at("type").is_string());
    return error.at("message").get<std::string>();
  }
  const TaskOptions& options() { return service.chats.back().options; }

  FakeService service;
  Router router{service, {.version = "1.2"}};
};

TEST_F(OpenAi, AnswersAChat) {
  service.script.deltas = {{.content = "Hel"}, {.content = "lo"}};
  const auto answer = chat("");
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->header("Content-Type"), "application/json");
  const Json reply = json(*answer);
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
  const std::vector<Json> chunks = events(*answer);
  ASSERT_EQ(chunks.size(), 5u);
  for (const Json& chunk : chunks) {
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
  const std::vector<Json> chunks = events(*answer);
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_TRUE(chunks[0].at("usage").is_null() && chunks[1].at("usage").is_null());
  EXPECT_EQ(chunks[2]["choices"], Json::array());
  EXPECT_EQ(chunks[2]["usage"]["total_tokens"], 9);
  EXPECT_EQ(error(*chat(R"("stream_options": {"include_usage": true})")),
            "stream_options: expected only together with \"stream\": true");
}

TEST_F(OpenAi, SeveralChoicesAreInterleaved) {
  service.script.deltas = {{.choice = 1, .content = "b"}, {.choice = 0, .content = "a"}};
  service.script.ends = {{.choice = 1, .reason = FinishReason::length}, {.choice = 0}};
  const Json reply = json(*chat(R"("n": 2)"));
  EXPECT_EQ(options().choices, 2);
  EXPECT_EQ(reply["choices"][0]["message"]["content"], "a");
  EXPECT_EQ(reply["choices"][1]["message"]["content"], "b");
  EXPECT_EQ(reply["choices"][1]["finish_reason"], "length");
  const std::vector<Json> chunks = events(*chat(R"("n": 2, "stream": true)"));
  std::vector<int> indices;
  for (const Json& chunk : chunks) indices.push_back(chunk["choices"][0]["index"]);
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
  const Json choice = json(*chat(tools))["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(choice["message"].dump(),
            R"({"content":null,"refusal":null,"role":"assistant","tool_calls":[)"
            R"({"function":{"arguments":"{\"a\":1}","name":"f"},"id":"call_1","type":"function"},)"
            R"({"function":{"arguments":"{}","name":"g"},"id":"call_2","type":"function"}]})");
  ASSERT_EQ(service.chats.back().tools.size(), 1u);
  const Tool& tool = service.chats.back().tools[0];
  EXPECT_EQ(tool.parameters, R"({"type":"object","properties":{"z":{},"a":{}}})");
  EXPECT_TRUE(tool.name == "f" && tool.description == "d" && tool.strict);

  const std::vector<Json> chunks = events(*chat(tools + R"(, "stream": true)"));
  EXPECT_EQ(
      chunks[1]["choices"][0]["delta"].dump(),
      R"({"tool_calls":[{"function":{"arguments":"","name":"f"},"id":"call_1","index":0,"type":"function"}]})");
  EXPECT_EQ(chunks[2]["choices"][0]["delta"].dump(),
            R"({"tool_calls":[{"function":{"arguments":"{\"a\":"},"index":0}]})");
}

TEST_F(OpenAi, AToolMayBeChosen) {
  const std::string tools = R"("tools": [{"type": "function", "function": {"name": "f"}}], )";
  auto kind = [&](const std::string& choice) {
    chat(tools + R"("tool_choice": )" + choice);
    return service.chats.back().tool_choice.kind;
  };
  EXPECT_EQ(kind("\"auto\""), ToolChoice::Kind::automatic);
  EXPECT_EQ(kind("null"), ToolChoice::Kind::automatic);
  EXPECT_EQ(kind("\"none\""), ToolChoice::Kind::none);
  EXPECT_EQ(kind("\"required\""), ToolChoice::Kind::required);
  EXPECT_EQ(kind(R"({"type": "function", "function": {"name": "f"}})"), ToolChoice::Kind::named);
  EXPECT_EQ(service.chats.back().tool_choice.name, "f");
  chat(tools + R"("parallel_tool_calls": false)");
  EXPECT_FALSE(service.chats.back().parallel_calls);
  EXPECT_EQ(error(*chat(tools + R"("tool_choice": {"type": "function", "function": {"name": "g"}})")),
            "tool_choice.function.name: expected the name of one of the tools, got 'g'");
  EXPECT_EQ(error(*chat(R"("tool_choice": "required")")),
            "tool_choice: \"required\" needs at least one function in tools");
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

TEST_F(OpenAi, ReadsTheOptionsOfSampling) {
  service.defaults.sampling.presence_penalty = 0.3;
  service.defaults.stop = {"\n\nUser:"};
  chat(R"("temperature": 0.5, "top_p": 0.9, "top_k": 40, "frequency_penalty": -1, "penalty_decay": 0.9,
          "seed": 42, "stop": ["a", "", "b"], "max_tokens": 5, "logit_bias": {"7": -100, "8": 1.5},
          "ignore_eos": true, "cache_prompt": false, "return_progress": true, "user": "x", "metadata": {"a": 1},
          "store": false, "unknown": [1])");
  ASSERT_EQ(service.chats.size(), 1u);
  const SamplerOptions& sampling = options().sampling;
  EXPECT_EQ(sampling.temperature, 0.5);
  EXPECT_EQ(sampling.top_p, 0.9);
  EXPECT_EQ(sampling.top_k, 40);
  EXPECT_EQ(sampling.presence_penalty, 0.3);
  EXPECT_EQ(sampling.frequency_penalty, -1);
  EXPECT_EQ(sampling.penalty_decay, 0.9);
  EXPECT_EQ(sampling.seed, 42u);
  ASSERT_EQ(sampling.bias.size(), 2u);
  EXPECT_EQ(sampling.bias[0].token, 7);
  EXPECT_EQ(sampling.bias[1].bias, 1.5f);
  EXPECT_EQ(options().stop, (std::vector<std::string>{"\n\nUser:", "a", "b"}));
  EXPECT_EQ(options().max_tokens, 5);
  EXPECT_TRUE(options().ignore_end && options().progress && !options().use_cache);
}

TEST_F(OpenAi, WithoutASeedTextsDiffer) {
  chat("");
  const uint64_t first = options().sampling.seed;
  chat(R"("seed": -1)");
  EXPECT_NE(options().sampling.seed, first);
}

TEST_F(OpenAi, SamplersOfOthersAreMappedOrRefused) {
  chat(R"("top_p": 0, "min_p": 0.1, "top_k": -1, "repeat_penalty": 1, "mirostat": 0, "typical_p": 1.0)");
  EXPECT_EQ(options().sampling.temperature, 0);
  EXPECT_EQ(options().sampling.top_a, 0.1);
  EXPECT_EQ(options().sampling.top_a_power, 1);
  EXPECT_EQ(options().sampling.top_k, 0);
  EXPECT_EQ(error(*chat(R"("repeat_penalty": 1.1)")),
            "repeat_penalty: this sampler does not exist here; leave it out or send 1 (off), not 1.1");
  EXPECT_EQ(error(*chat(R"("min_p": 0.1, "top_a": 0.2)")),
            "top_a: not together with min_p; send one of them");
  EXPECT_EQ(error(*chat(R"("temperature": -1)")),
            "temperature: expected a number from 0 to 100, got the number -1");
  EXPECT_EQ(error(*chat(R"("logit_bias": {"x": 1})")), "logit_bias.x: expected a token id as the name");
  EXPECT_EQ(error(*chat(R"("logit_bias": {"65536": 1})")),
            "logit_bias.65536: expected a token id below 65536");
  EXPECT_EQ(error(*chat(R"("logit_bias": {"1": 101})")),
            "logit_bias.1: expected a number from -100 to 100, or false to ban the token");
  chat(R"("logit_bias": [["a", false], [98, -1]])");
  ASSERT_EQ(options().sampling.bias.size(), 2u);
  EXPECT_EQ(options().sampling.bias[0].token, 97);
  EXPECT_EQ(options().sampling.bias[0].bias, -std::numeric_limits<float>::infinity());
}

TEST_F(OpenAi, TokensAreLimited) {
  chat(R"("max_tokens": 5, "max_completion_tokens": 6)");
  EXPECT_EQ(options().max_tokens, 6);
  chat("");
  EXPECT_EQ(options().max_tokens, std::nullopt);
  Router limited(service, {.max_tokens = 10});
  add_openai(limited);
  for (const auto& [asked, got] :
       std::vector<std::pair<std::string, int64_t>>{{"null", 10}, {"-1", 10}, {"20", 10}, {"3", 3}}) {
    limited.handle(
        {.method = "POST",
         .path = "/v1/chat/completions",
         .body = R"({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": )" + asked + "}"},
        std::make_shared<FakeAnswer>());
    EXPECT_EQ(options().max_tokens, got);
  }
}

TEST_F(OpenAi, ReadsRestrictionsOfTheText) {
  using Kind = ResponseFormat::Kind;
  auto format = [&](const std::string& fields) {
    const size_t before = service.chats.size();
    const auto answer = chat(fields);
    EXPECT_EQ(service.chats.size(), before + 1) << answer->body;
    return options().format;
  };
  EXPECT_EQ(format(R"("response_format": {"type": "text"})").kind, Kind::text);
  EXPECT_EQ(format(R"("response_format": {"type": "json_object"})").kind, Kind::json_object);
  const ResponseFormat schema = format(
      R"("response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true,
         "schema": {"type": "object", "required": ["b"], "properties": {"b": {}, "a": {}}}}})");
  EXPECT_EQ(schema.kind, Kind::json_schema);
  EXPECT_EQ(schema.source, R"({"type":"object","required":["b"],"properties":{"b":{},"a":{}}})");
  EXPECT_EQ(format(R"("json_schema": {"type": "string"})").source, R"({"type":"string"})");
  EXPECT_EQ(format(R"("grammar": "root ::= \"a\"")").kind, Kind::gbnf);
  EXPECT_EQ(format(R"("grammar": "")").kind, Kind::text);
  EXPECT_EQ(format(R"("regex": "a+")").source, "a+");
  EXPECT_EQ(error(*chat(R"("grammar": "root ::= \"a\"", "response_format": {"type": "json_object"})")),
            "grammar: one restriction of the text at a time");
  EXPECT_EQ(error(*chat(R"("response_format": {"type": "json_schema"})")),
            "response_format.json_schema: expected an object with a schema, but it is missing");
  EXPECT_EQ(error(*chat(R"("response_format": {"type": "xml"})")),
            "response_format.type: expected one of \"text\", \"json_object\", \"json_schema\", \"regex\", "
            "\"grammar\", got 'xml'");
}

TEST_F(OpenAi, ReadsMessages) {
  ask("POST", "/v1/chat/completions", R"({"messages": [
    {"role": "developer", "content": "S"},
    {"role": "user", "name": "Ann", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    {"role": "assistant", "content": null, "reasoning_content": "r",
     "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "42"}]})");
  const std::vector<Message>& messages = service.chats.at(0).messages;
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[0].role, Role::system);
  EXPECT_EQ(messages[1].content, "ab");
  EXPECT_EQ(messages[1].name, "Ann");
  EXPECT_EQ(messages[2].reasoning, "r");
  EXPECT_EQ(messages[2].calls.at(0).name, "f");
  EXPECT_EQ(messages[3].call_id, "c1");
  EXPECT_EQ(messages[3].role, Role::tool);
}

TEST_F(OpenAi, RefusesMessagesThatItCannotRead) {
  auto refused = [&](const std::string& messages) {
    return error(*ask("POST", "/v1/chat/completions", R"({"messages": )" + messages + "}"));
  };
  EXPECT_EQ(refused("null"), "messages: expected a list of messages, but it is missing");
  EXPECT_EQ(refused("[]"), "messages: expected at least one message, got an empty list");
  EXPECT_EQ(refused("\"Hi\""), "messages: expected a list of objects, got a text");
  EXPECT_EQ(refused(R"([{"role": "user", "content": 5}])"),
            "messages[0].content: expected a text or a list of parts, got the number 5");
  EXPECT_EQ(refused(R"([{"role": "user"}])"), "messages[0].content: expected a text, but it is missing");
  EXPECT_EQ(refused(R"([{"content": "a"}])"), "messages[0].role: expected a text, but it is missing");
  EXPECT_EQ(refused(R"([{"role": "king", "content": "a"}])"),
            "messages[0].role: expected one of \"system\", \"developer\", \"user\", \"assistant\", \"tool\", "
            "got 'king'");
  EXPECT_EQ(refused(R"([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])"),
            "messages[0].content[0]: a part of type image_url cannot be read; this server reads text only");
  EXPECT_EQ(error(*ask("POST", "/v1/chat/completions", "{")),
            "the body of the request: not valid JSON from byte 1 on (is the file cut off?)");
  EXPECT_EQ(error(*chat(R"("functions": [])")),
            "functions: this field is outdated; send tools and tool_choice");
}

TEST_F(OpenAi, AnErrorNamesItsField) {
  EXPECT_EQ(chat(R"("n": 0)")->body,
            R"({"error":{"message":"n: expected a whole number from 1 to 128, got the number 0",)"
            R"("type":"invalid_request_error","param":"n","code":null}})");
}

TEST_F(OpenAi, EffortBecomesThinking) {
  auto thinking = [&](const std::string& fields) {
    chat(fields);
    return service.chats.back().thinking;
  };
  EXPECT_EQ(thinking(""), Thinking::usual);
  EXPECT_EQ(thinking(R"("reasoning_effort": "none")"), Thinking::none);
  EXPECT_EQ(thinking(R"("reasoning_effort": "low")"), Thinking::brief);
  EXPECT_EQ(thinking(R"("reasoning_effort": "medium")"), Thinking::usual);
  EXPECT_EQ(thinking(R"("reasoning_effort": "high")"), Thinking::thorough);
  EXPECT_EQ(thinking(R"("chat_template_kwargs": {"enable_thinking": false})"), Thinking::none);
  chat(R"("thinking_budget_tokens": 12)");
  EXPECT_EQ(service.chats.back().thinking_tokens, 12);
}

TEST_F(OpenAi, StatesAreNamedAndReturned) {
  service.script.ends = {{.choice = 0, .state = "st_1", .tokens = 9}};
  const Json choice = json(*chat(R"("state": "memory", "return_state": true)"))["choices"][0];
  EXPECT_EQ(options().state, "memory");
  EXPECT_TRUE(options().return_state);
  EXPECT_EQ(choice["state"].dump(), R"({"id":"st_1","tokens":9})");
  chat(R"("state": {"id": "m2"}, "return_state": "id")");
  EXPECT_EQ(options().state, "m2");
  EXPECT_EQ(error(*chat(R"("return_state": "base64")")),
            "return_state: expected true, false or \"id\"; states are downloaded by id");
}

TEST_F(OpenAi, AKeySeparatesClients) {
  Router guarded(service, {.keys = {"k1"}});
  add_openai(guarded);
  guarded.handle({.method = "POST",
                  .path = "/v1/chat/completions",
                  .headers = {{"authorization", "Bearer k1"}},
                  .body = R"({"messages": [{"role": "user", "content": "Hi"}]})"},
                 std::make_shared<FakeAnswer>());
  EXPECT_EQ(options().key, "k1");
  chat("");
  EXPECT_EQ(options().key, "");
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
  const Json reply = json(*complete(R"("prompt": ["a", [1, 2]], "max_tokens": 3)"));
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
  EXPECT_EQ(chunks[2]["choices"], Json::array());
}

TEST_F(OpenAi, ACompletionEchoesThePromptWithItsLogprobs) {
  service.script.deltas = {
      {.content = "\xc3\xa4"
                  "b",
       .logprobs = {{.bytes = "\xc3\xa4", .logprob = 0},
                    {.bytes = "b", .logprob = -1, .top = {{.bytes = "c", .logprob = -0.5}}}}}};
  const Json reply = json(*complete(R"("prompt": "äb", "echo": true, "logprobs": 1, "max_tokens": 0)"));
  EXPECT_TRUE(service.completions.at(0).echo);
  EXPECT_EQ(service.completions.at(0).options.max_tokens, 0);
  EXPECT_EQ(service.completions.at(0).options.top_logprobs, 1);
  EXPECT_EQ(
      reply["choices"][0]["logprobs"].dump(),
      R"({"text_offset":[0,1],"token_logprobs":[null,-1.0],"tokens":["ä","b"],"top_logprobs":[null,{"c":-0.5}]})");
}

TEST_F(OpenAi, OffsetsOfAStreamGoOn) {
  service.script.deltas = {{.content = "ab", .logprobs = {{.bytes = "ab"}}},
                           {.content = "c", .logprobs = {{.bytes = "c"}}}};
  const auto chunks = events(*complete(R"("prompt": "a", "stream": true, "logprobs": 0)"));
  EXPECT_EQ(chunks[0]["choices"][0]["logprobs"]["text_offset"], Json::array({0}));
  EXPECT_EQ(chunks[1]["choices"][0]["logprobs"]["text_offset"], Json::array({2}));
  EXPECT_EQ(chunks[1]["choices"][0]["logprobs"]["token_logprobs"], Json::array({0.0}));
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
  const Json reply = json(*answer);
  EXPECT_EQ(reply["object"], "list");
  EXPECT_EQ(reply["model"], "bird");
  EXPECT_EQ(reply["usage"].dump(), R"({"prompt_tokens":4,"total_tokens":4})");
  EXPECT_EQ(reply["data"][1].dump(), R"({"embedding":[1.0,0.0],"index":1,"object":"embedding"})");
  EXPECT_EQ(service.embeddings.at(0).dimensions, 2);
  EXPECT_EQ(service.embeddings.at(0).inputs.size(), 2u);
  const Json coded =
      json(*ask("POST", "/v1/embeddings", R"({"input": [[1, 2]], "encoding_format": "base64"})"));
  EXPECT_EQ(coded["data"][1]["embedding"], "AACAPwAAAAA=");
  EXPECT_EQ(service.embeddings.at(1).inputs, (std::vector<Prompt>{std::vector<int32_t>{1, 2}}));
  service.embedding_error = {.kind = TaskError::Kind::overloaded, .message = "full"};
  EXPECT_EQ(ask("POST", "/v1/embeddings", R"({"input": "a"})")->status, 429);
  EXPECT_EQ(error(*ask("POST", "/v1/embeddings", R"({"input": []})")),
            "input: expected at least one text, got an empty list");
}

TEST_F(OpenAi, ListsModels) {
  const Json list = json(*ask("GET", "/v1/models"));
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
