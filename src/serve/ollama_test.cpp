#include "serve/ollama.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "serve/json_fields.h"
#include "serve/ollama_requests.h"
#include "serve/ollama_sink.h"
#include "support/fake_service.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

class Ollama : public testing::Test {
 protected:
  Ollama() { add_ollama(router); }

  std::shared_ptr<FakeAnswer> ask(const std::string& method, const std::string& path,
                                  const std::string& body = "") {
    auto answer = std::make_shared<FakeAnswer>();
    router.handle({.method = method, .path = path, .body = body}, answer);
    return answer;
  }
  // The lines of a stream.
  std::vector<Json> lines(const std::string& path, const std::string& body) {
    const auto answer = ask("POST", path, body);
    EXPECT_EQ(answer->status, 200) << answer->body;
    EXPECT_EQ(answer->header("Content-Type"), "application/x-ndjson");
    EXPECT_TRUE(answer->ended);
    std::vector<Json> all;
    for (const std::string& line : answer->writes) {
      EXPECT_EQ(line.find('\n'), line.size() - 1);
      all.push_back(parse_request(line));
    }
    return all;
  }
  Json object(const std::string& method, const std::string& path, const std::string& body = "") {
    const auto answer = ask(method, path, body);
    EXPECT_EQ(answer->status, 200) << answer->body;
    EXPECT_EQ(answer->header("Content-Type"), "application/json");
    return parse_request(answer->body);
  }
  std::string complaint(const std::string& path, const std::string& body, int status = 400) {
    const auto answer = ask("POST", path, body);
    EXPECT_EQ(answer->status, status) << answer->body;
    return parse_request(answer->body)["error"];
  }
  const ChatTask& asked() const { return service.chats.back(); }

  FakeService service;
  Router router{service, {}};
};

const std::string hello = R"({"model": "bird", "messages": [{"role": "user", "content": "Hi"}])";

TEST_F(Ollama, StreamsAChatByItself) {
  service.script.deltas = {{.reasoning = "Hm"}, {.content = "He"}, {.content = "llo"}};
  const std::vector<Json> all = lines("/api/chat", hello + "}");
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0]["message"], Json({{"role", "assistant"}, {"content", ""}, {"thinking", "Hm"}}));
  EXPECT_EQ(all[1]["message"], Json({{"role", "assistant"}, {"content", "He"}}));
  EXPECT_EQ(all[1]["done"], false);
  EXPECT_EQ(all[1]["model"], "bird");
  EXPECT_EQ(all[3]["done"], true);
  EXPECT_EQ(all[3]["done_reason"], "stop");
  EXPECT_EQ(all[3]["message"]["content"], "");
  EXPECT_EQ(all[3]["prompt_eval_count"], 7);
  EXPECT_EQ(all[3]["prompt_eval_duration"], 500000000);
  EXPECT_EQ(all[3]["eval_count"], 2);
  EXPECT_EQ(all[3]["total_duration"], 750000000);
  const std::regex time(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z)");
  EXPECT_TRUE(std::regex_match(all[0]["created_at"].get<std::string>(), time)) << all[0]["created_at"];
}

TEST_F(Ollama, AnswersAtOnceIfAsked) {
  service.script.deltas = {{.reasoning = "Hm"}, {.content = "He"}, {.content = "llo"}};
  service.script.ends = {{.reason = FinishReason::length}};
  const Json reply = object("POST", "/api/chat", hello + R"(, "stream": false})");
  EXPECT_EQ(reply["message"], Json({{"role", "assistant"}, {"content", "Hello"}, {"thinking", "Hm"}}));
  EXPECT_EQ(reply["done_reason"], "length");
}

TEST_F(Ollama, ReadsMessagesToolsAndOptions) {
  ask("POST", "/api/chat", R"({"model": "bird:latest", "think": "low", "format": {"type": "object"},
    "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi", "images": []},
      {"role": "assistant", "content": "", "thinking": "T",
       "tool_calls": [{"function": {"name": "f", "arguments": {"b": 1, "a": 2}}}]},
      {"role": "tool", "tool_name": "f", "content": "3"}],
    "tools": [{"type": "function", "function": {"name": "f", "description": "D", "parameters": {"type": "object"}}},
      {"type": "web_search"}],
    "options": {"temperature": 0.5, "top_k": 7, "top_p": 0.9, "min_p": 0.1, "presence_penalty": 1,
      "frequency_penalty": 2, "seed": 42, "num_predict": 9, "stop": "x", "typical_p": 1, "num_ctx": 2048,
      "repeat_penalty": 1.1, "repeat_last_n": 32, "mirostat": 0},
    "keep_alive": "5m", "logprobs": true, "top_logprobs": 2})");
  ASSERT_EQ(service.chats.size(), 1u);
  EXPECT_EQ(asked().model, "bird");
  EXPECT_EQ(asked().thinking, Thinking::brief);
  ASSERT_EQ(asked().messages.size(), 4u);
  EXPECT_EQ(asked().messages[2].reasoning, "T");
  EXPECT_EQ(asked().messages[2].calls.at(0).arguments, R"({"b":1,"a":2})");
  EXPECT_EQ(asked().messages[3].role, Role::tool);
  EXPECT_EQ(asked().messages[3].name, "f");
  ASSERT_EQ(asked().tools.size(), 1u);
  EXPECT_EQ(asked().tools[0].parameters, R"({"type":"object"})");
  const TaskOptions& options = asked().options;
  EXPECT_EQ(options.format.kind, ResponseFormat::Kind::json_schema);
  EXPECT_EQ(options.format.source, R"({"type":"object"})");
  EXPECT_EQ(options.sampling.temperature, 0.5);
  EXPECT_EQ(options.sampling.top_k, 7);
  EXPECT_EQ(options.sampling.top_p, 0.9);
  EXPECT_EQ(options.sampling.min_p, 0.1);
  EXPECT_EQ(options.sampling.repeat_penalty, 1.1);
  EXPECT_EQ(options.sampling.repeat_last_n, 32);
  EXPECT_EQ(options.sampling.presence_penalty, 1);
  EXPECT_EQ(options.sampling.frequency_penalty, 2);
  EXPECT_EQ(options.sampling.seed, 42u);
  EXPECT_EQ(options.max_tokens, 9);
  EXPECT_EQ(options.stop, std::vector<std::string>{"x"});
  EXPECT_TRUE(options.logprobs);
  EXPECT_EQ(options.top_logprobs, 2);
}

TEST_F(Ollama, StatesAreNamedAndReturned) {
  service.script.ends = {{.choice = 0, .state = "st_1", .state_file = "abcd", .tokens = 9}};
  for (const char* stream : {"false", "true"}) {
    const std::string body = fmt::format(
        R"({{"model": "bird", "stream": {}, "messages": [{{"role": "user", "content": "x"}}], "state": "memory",
            "return_state": "base64"}})",
        stream);
    const auto answer = ask("POST", "/api/chat", body);
    EXPECT_EQ(asked().options.state, "memory");
    EXPECT_TRUE(asked().options.return_state && asked().options.return_state_file);
    EXPECT_NE(answer->body.find(R"("state":{"id":"st_1","tokens":9,"data":"YWJjZA=="})"), std::string::npos)
        << answer->body;
  }
}

TEST_F(Ollama, WrongFieldsAreNamed) {
  EXPECT_EQ(complaint("/api/chat", "{"),
            "the body of the request: not valid JSON from byte 1 on (is the file cut off?)");
  EXPECT_NE(complaint("/api/chat", R"({"messages": []})").find("model"), std::string::npos);
  EXPECT_NE(
      complaint("/api/chat", R"({"model": "bird", "messages": [{"content": "a"}]})").find("messages[0].role"),
      std::string::npos);
  EXPECT_NE(complaint("/api/chat", hello + R"(, "options": {"top_p": 2}})").find("options.top_p"),
            std::string::npos);
  EXPECT_NE(complaint("/api/chat", hello + R"(, "options": {"typical_p": 0.5}})").find("typical_p"),
            std::string::npos);
  EXPECT_NE(complaint("/api/chat", hello + R"(, "format": "xml"})").find("format"), std::string::npos);
  EXPECT_NE(complaint("/api/chat", hello + R"(, "think": "much"})").find("think"), std::string::npos);
  EXPECT_NE(complaint("/api/chat", R"({"model": "bird", "messages": [{"role": "user", "images": ["aa"]}]})")
                .find("messages[0].images"),
            std::string::npos);
  EXPECT_NE(complaint("/api/generate", R"({"model": "bird", "prompt": "a", "suffix": "b"})").find("suffix"),
            std::string::npos);
  service.served.push_back({.name = "other"});
  EXPECT_EQ(complaint("/api/chat", R"({"model": "fish:latest", "messages": []})", 404),
            "there is no model 'fish'");
}

TEST_F(Ollama, ErrorsComeAsAStatusOrInTheStream) {
  service.script.error = TaskError{.message = "the model broke"};
  service.script.deltas = {{.content = "a"}};
  const std::vector<Json> all = lines("/api/chat", hello + "}");
  EXPECT_EQ(all.back(), Json({{"error", "the model broke"}}));
  EXPECT_EQ(complaint("/api/chat", hello + R"(, "stream": false})", 500), "the model broke");
  service.script.refused = TaskError{.kind = TaskError::Kind::overloaded, .message = "too much"};
  EXPECT_EQ(complaint("/api/chat", hello + "}", 429), "too much");
}

TEST_F(Ollama, CallsHaveAnObjectAsArguments) {
  auto call = [](int64_t index, const std::string& name, const std::string& arguments) {
    return Delta{.call = Delta::Call{
                     .index = index, .id = name.empty() ? "" : "id", .name = name, .arguments = arguments}};
  };
  service.script.deltas = {{.content = "Wait."},
                           call(0, "f", "{\"b\":"),
                           call(0, "", "1,\"a\":2}"),
                           call(1, "g", ""),
                           call(2, "h", "{\"x\":")};
  service.script.ends = {{.reason = FinishReason::tool_calls}};
  const std::vector<Json> all = lines("/api/chat", hello + "}");
  ASSERT_EQ(all.size(), 5u);
  EXPECT_EQ(all[1]["message"]["tool_calls"][0]["function"],
            Json({{"name", "f"}, {"arguments", {{"b", 1}, {"a", 2}}}}));
  EXPECT_EQ(all[2]["message"]["tool_calls"][0]["function"],
            Json({{"name", "g"}, {"arguments", Json::object()}}));
  EXPECT_EQ(all[3]["message"]["content"], "{\"x\":");
  EXPECT_EQ(all[4]["done_reason"], "stop");
  const Json reply = object("POST", "/api/chat", hello + R"(, "stream": false})");
  EXPECT_EQ(reply["message"]["tool_calls"].size(), 2u);
}

TEST_F(Ollama, ProbabilitiesStandBesideTheirText) {
  service.script.deltas = {
      {.content = "a", .logprobs = {{.token = 5, .bytes = "a", .logprob = -0.5, .top = {{6, "b", -1.0}}}}}};
  const Json line = lines("/api/chat", hello + "}")[0];
  EXPECT_EQ(line["logprobs"][0]["token"], "a");
  EXPECT_EQ(line["logprobs"][0]["bytes"], Json::array({97}));
  EXPECT_EQ(line["logprobs"][0]["top_logprobs"][0]["logprob"], -1.0);
}

TEST_F(Ollama, GenerateGoesOnFromItsContext) {
  service.script.deltas = {{.content = "One \u00e4."}};
  const std::vector<Json> first =
      lines("/api/generate", R"({"model": "bird", "prompt": "Count", "system": "S"})");
  EXPECT_EQ(first[0]["response"], "One \u00e4.");
  EXPECT_FALSE(first[0].contains("message"));
  Json again = {
      {"model", "bird"}, {"prompt", "And?"}, {"context", first.back()["context"]}, {"stream", false}};
  const Json second = object("POST", "/api/generate", again.dump());
  ASSERT_EQ(asked().messages.size(), 4u);
  EXPECT_EQ(asked().messages[0].role, Role::system);
  EXPECT_EQ(asked().messages[2].content, "One \u00e4.");
  EXPECT_EQ(asked().messages[3].content, "And?");
  EXPECT_GT(second["context"].size(), again["context"].size());
  const std::string begin = R"({"model": "bird", "prompt": "a", "context": )";
  for (const char* context : {"[1, 2, 3]", "[6387305]", "[6387305, 5, 0]", "[6387305, 3, 0]"})
    complaint("/api/generate", begin + context + "}");
  EXPECT_EQ(lines("/api/generate", begin + "[6387305, 2, 5987584]}").back()["done"], true);
}

TEST_F(Ollama, ARawPromptIsACompletion) {
  service.script.deltas = {{.content = " a time"}};
  const Json reply =
      object("POST", "/api/generate", R"({"model": "bird", "prompt": "Once", "raw": true, "stream": false,
                                                        "options": {"num_predict": 3}})");
  ASSERT_EQ(service.completions.size(), 1u);
  EXPECT_EQ(std::get<std::string>(service.completions[0].prompts.at(0)), "Once");
  EXPECT_EQ(service.completions[0].options.max_tokens, 3);
  EXPECT_EQ(reply["response"], " a time");
  EXPECT_FALSE(reply.contains("context"));
}

TEST_F(Ollama, AnEmptyRequestLoadsOrUnloads) {
  EXPECT_EQ(lines("/api/chat", R"({"model": "bird", "messages": []})")[0]["done_reason"], "load");
  EXPECT_EQ(object("POST", "/api/generate",
                   R"({"model": "bird", "stream": false, "keep_alive": 0})")["done_reason"],
            "unload");
  EXPECT_EQ(service.loads, std::vector<std::string>{"bird"});
  EXPECT_EQ(service.unloads, std::vector<std::string>{"bird"});
}

TEST_F(Ollama, Embeds) {
  const Json reply =
      object("POST", "/api/embed", R"({"model": "bird", "input": ["a", "b"], "dimensions": 2})");
  ASSERT_EQ(service.embeddings.size(), 1u);
  EXPECT_EQ(service.embeddings[0].inputs.size(), 2u);
  EXPECT_EQ(service.embeddings[0].dimensions, 2);
  EXPECT_EQ(reply["embeddings"][0].size(), 2u);
  EXPECT_EQ(reply["prompt_eval_count"], 4);
  EXPECT_EQ(object("POST", "/api/embeddings", R"({"model": "bird", "prompt": "a"})")["embedding"].size(), 2u);
  complaint("/api/embed", R"({"model": "bird"})");
  service.embedding_error = TaskError{.message = "no"};
  EXPECT_EQ(complaint("/api/embed", R"({"model": "bird", "input": "a"})", 500), "no");
}

TEST_F(Ollama, DescribesTheModels) {
  service.served.push_back({.name = "big",
                            .path = "big.gguf",
                            .version = "rwkv7",
                            .parameters = 1500000000,
                            .type = "q8_0",
                            .context = 4096,
                            .chat_template = "g1"});
  const Json tags = object("GET", "/api/tags");
  ASSERT_EQ(tags["models"].size(), 2u);
  EXPECT_EQ(tags["models"][0]["modified_at"], "2023-11-14T22:13:20.000000000Z");
  EXPECT_EQ(tags["models"][1]["details"], Json({{"parent_model", ""},
                                                {"format", "gguf"},
                                                {"family", "rwkv7"},
                                                {"families", {"rwkv7"}},
                                                {"parameter_size", "1.5B"},
                                                {"quantization_level", "Q8_0"}}));
  EXPECT_EQ(object("GET", "/api/ps")["models"].size(), 1u);
  const Json big = object("POST", "/api/show", R"({"model": "big"})");
  EXPECT_EQ(big["model_info"]["rwkv7.context_length"], 4096);
  EXPECT_EQ(big["capabilities"], Json({"completion", "tools", "embedding", "thinking"}));
  EXPECT_EQ(object("POST", "/api/show", R"({"name": "bird"})")["capabilities"].size(), 3u);
  EXPECT_EQ(object("GET", "/api/version")["version"], "0.20.0");
  EXPECT_EQ(ask("HEAD", "/")->body, "Ollama is running");
}

TEST_F(Ollama, ManagesNoModels) {
  EXPECT_EQ(ask("DELETE", "/api/delete", "{}")->status, 501);
  EXPECT_EQ(ask("POST", "/api/create", "{}")->status, 501);
  EXPECT_EQ(lines("/api/pull", R"({"model": "bird"})")[0], Json({{"status", "success"}}));
  EXPECT_EQ(ask("GET", "/api/nothing")->body, R"({"error":"there is no GET /api/nothing"})");
}

TEST_F(Ollama, EndsWhenTheClientLeaves) {
  service.wait = true;
  const auto answer = ask("POST", "/api/chat", hello + "}");
  EXPECT_FALSE(service.sink->abandoned());
  answer->left = true;
  EXPECT_TRUE(service.sink->abandoned());
  answer->slow = true;
  EXPECT_TRUE(service.sink->busy());
}

}  // namespace
}  // namespace aviary
