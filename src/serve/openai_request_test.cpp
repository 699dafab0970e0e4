#include "serve/openai_request.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "support/openai_fixture.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

class OpenAiRequest : public OpenAi {};

TEST_F(OpenAiRequest, AToolMayBeChosen) {
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

TEST_F(OpenAiRequest, ReadsTheOptionsOfSampling) {
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

TEST_F(OpenAiRequest, WithoutASeedTextsDiffer) {
  chat("");
  const uint64_t first = options().sampling.seed;
  chat(R"("seed": -1)");
  EXPECT_NE(options().sampling.seed, first);
}

TEST_F(OpenAiRequest, SamplersOfOthersAreMappedOrRefused) {
  chat(
      R"("top_p": 0, "min_p": 0.1, "top_k": -1, "repeat_penalty": 1.2, "repeat_last_n": -1, "mirostat": 0, "typical_p": 1.0)");
  EXPECT_EQ(options().sampling.temperature, 0);
  EXPECT_EQ(options().sampling.min_p, 0.1);
  EXPECT_EQ(options().sampling.repeat_penalty, 1.2);
  EXPECT_EQ(options().sampling.repeat_last_n, -1);
  EXPECT_EQ(options().sampling.top_k, 0);
  EXPECT_EQ(error(*chat(R"("mirostat": 2)")),
            "mirostat: this sampler does not exist here; leave it out or send 0 (off), not 2");
  EXPECT_NE(error(*chat(R"("repeat_penalty": 0)")).find("repeat_penalty is 0"), std::string::npos);
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

TEST_F(OpenAiRequest, TokensAreLimited) {
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

TEST_F(OpenAiRequest, ReadsRestrictionsOfTheText) {
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

TEST_F(OpenAiRequest, ReadsMessages) {
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

TEST_F(OpenAiRequest, RefusesMessagesThatItCannotRead) {
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

TEST_F(OpenAiRequest, AnErrorNamesItsField) {
  EXPECT_EQ(chat(R"("n": 0)")->body,
            R"({"error":{"message":"n: expected a whole number from 1 to 128, got the number 0",)"
            R"("type":"invalid_request_error","param":"n","code":null}})");
}

TEST_F(OpenAiRequest, EffortBecomesThinking) {
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

TEST_F(OpenAiRequest, StatesAreNamedAndReturned) {
  service.script.ends = {{.choice = 0, .state = "st_1", .tokens = 9}};
  const Json choice = json(*chat(R"("state": "memory", "return_state": true)"))["choices"][0];
  EXPECT_EQ(options().state, "memory");
  EXPECT_TRUE(options().return_state);
  EXPECT_EQ(choice["state"].dump(), R"({"id":"st_1","tokens":9})");
  chat(R"("state": {"id": "m2"}, "return_state": "id")");
  EXPECT_EQ(options().state, "m2");
  EXPECT_FALSE(options().return_state_file);
  service.script.ends = {{.choice = 0, .state = "st_1", .state_file = "abc", .tokens = 9}};
  EXPECT_EQ(json(*chat(R"("return_state": "base64")"))["choices"][0]["state"]["data"], "YWJj");
  EXPECT_EQ(error(*chat(R"("return_state": "json")")),
            "return_state: expected true, false, \"id\" or \"base64\"");
}

TEST_F(OpenAiRequest, AKeySeparatesClients) {
  Router guarded(service, {.keys = {"k1"}});
  add_openai(guarded);
  guarded.handle({.method = "POST",
                  .path = "/v1/chat/completions",
                  .headers = {{"authorization", "Bearer k1"}},
                  .body = R"({"messages": [{"role": "user", "content": "Hi"}]})"},
                 std::make_shared<FakeAnswer>());
  EXPECT_NE(options().key, "");
  EXPECT_NE(options().key, "k1") << "it goes into files";
  chat("");
  EXPECT_EQ(options().key, "");
}

}  // namespace
}  // namespace aviary
