#include "serve/anthropic.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "serve/anthropic_reply.h"
#include "serve/protocols.h"
#include "support/protocol_test.h"

namespace aviary {
namespace {

class Anthropic : public ProtocolTest {
 protected:
  Anthropic() { add_anthropic(router); }

  // The task of a request with these further fields of the body.
  ChatTask task_of(const std::string& fields) {
    const FakeAnswer answer =
        ask("POST", "/v1/messages", R"({"model":"bird","max_tokens":9,)" + fields + "}");
    EXPECT_EQ(answer.status, 200) << answer.body;
    return service.chats.empty() ? ChatTask() : service.chats.back();
  }
  std::string complaint_of(const std::string& fields) {
    return complaint("/v1/messages", R"({"model":"bird","max_tokens":9,)" + fields + "}");
  }

  const std::string hello =
      R"({"model":"bird","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]})";
  const std::string streamed =
      R"({"model":"bird","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hello"}]})";
};

TEST_F(Anthropic, AMessageIsAnsweredInOnePiece) {
  service.script.deltas = {{.content = "Good "}, {.content = "day"}};
  const FakeAnswer answer =
      ask("POST", "/v1/messages", hello, {{"anthropic-version", "2023-06-01"}}, {{"beta", "true"}});
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.header("request-id").starts_with("req_"));
  Json message = json(answer);
  EXPECT_TRUE(message["id"].get<std::string>().starts_with("msg_"));
  message["id"] = "msg_1";
  EXPECT_EQ(message.dump(),
            R"({"id":"msg_1","type":"message","role":"assistant","model":"bird",)"
            R"("content":[{"type":"text","text":"Good day"}],"stop_reason":"end_turn","stop_sequence":null,)"
            R"("usage":{"input_tokens":4,"cache_creation_input_tokens":0,"cache_read_input_tokens":3,)"
            R"("output_tokens":2}})");
  ASSERT_EQ(service.chats.size(), 1u);
  EXPECT_EQ(summary(service.chats[0].messages), "user(Hello)");
  EXPECT_EQ(service.chats[0].options.max_tokens, 9);
}

TEST_F(Anthropic, AStreamIsTheseBytes) {
  service.script.deltas = {{.reasoning = "Hm"}, {.content = "Hi"}};
  service.script.ends = {{.reason = FinishReason::stop, .stop_string = "END"}};
  FakeAnswer answer = ask("POST", "/v1/messages", streamed);
  const std::string id = named_events(answer)[0]["message"]["id"];
  EXPECT_EQ(
      replaced(answer.body, id, "msg_1"),
      "event: message_start\n"
      R"(data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",)"
      R"("model":"bird","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":4,)"
      R"("cache_creation_input_tokens":0,"cache_read_input_tokens":3,"output_tokens":0}}})"
      "\n\n"
      "event: ping\ndata: {\"type\":\"ping\"}\n\n"
      "event: content_block_start\n"
      R"(data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"",)"
      R"("signature":""}})"
      "\n\n"
      "event: content_block_delta\n"
      R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm"}})"
      "\n\n"
      "event: content_block_delta\n"
      R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":""}})"
      "\n\n"
      "event: content_block_stop\n"
      R"(data: {"type":"content_block_stop","index":0})"
      "\n\n"
      "event: content_block_start\n"
      R"(data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}})"
      "\n\n"
      "event: content_block_delta\n"
      R"(data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hi"}})"
      "\n\n"
      "event: content_block_stop\n"
      R"(data: {"type":"content_block_stop","index":1})"
      "\n\n"
      "event: message_delta\n"
      R"(data: {"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END"},)"
      R"("usage":{"output_tokens":2}})"
      "\n\n"
      "event: message_stop\n"
      R"(data: {"type":"message_stop"})"
      "\n\n");
  EXPECT_TRUE(answer.ended);
  EXPECT_TRUE(answer.header("request-id").starts_with("req_"));
}

// Field by field the stream that @anthropic-ai/sdk 1.14.0 accepted; the ping may stand anywhere.
TEST_F(Anthropic, TextAndACallGiveTheStreamThatTheOfficialClientReads) {
  service.script.usage = {.prompt_tokens = 3, .tokens = 5};
  service.script.deltas = {
      {.content = "Hi"},
      {.call = Delta::Call{.index = 0, .id = "call_1", .name = "f", .arguments = "{\"a\":"}},
      {.call = Delta::Call{.index = 0, .arguments = "1}"}}};
  service.script.ends = {{.reason = FinishReason::tool_calls}};
  std::vector<Json> events = named_events(ask("POST", "/v1/messages", streamed));
  ASSERT_EQ(std::erase(events, Json{{"type", "ping"}}), 1u);
  events[0]["message"]["id"] = "msg_1";
  const std::vector<std::string> expected = {
      R"({"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"bird",
          "content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":0}}})",
      R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})",
      R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}})",
      R"({"type":"content_block_stop","index":0})",
      R"({"type":"content_block_start","index":1,
          "content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}})",
      R"({"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}})",
      R"({"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"1}"}})",
      R"({"type":"content_block_stop","index":1})",
      R"({"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},
          "usage":{"output_tokens":5}})",
      R"({"type":"message_stop"})"};
  ASSERT_EQ(events.size(), expected.size());
  for (size_t i = 0; i < events.size(); ++i)
    EXPECT_TRUE(has_all_of(parse_ordered_json(expected[i], "expected"), events[i])) << events[i];
}

TEST_F(Anthropic, CallsBecomeBlocks) {
  service.script.deltas = {
      {.call = Delta::Call{.index = 0, .id = "call_1", .name = "f", .arguments = R"({"b":1,"a":[2]})"}},
      {.call = Delta::Call{.index = 1, .id = "x", .name = "g"}}};
  service.script.ends = {{.reason = FinishReason::tool_calls}};
  const Json message = json(ask("POST", "/v1/messages", hello));
  EXPECT_EQ(message["content"].dump(),
            R"([{"type":"tool_use","id":"toolu_1","name":"f","input":{"b":1,"a":[2]}},)"
            R"({"type":"tool_use","id":"x","name":"g","input":{}}])");
  EXPECT_EQ(message["stop_reason"], "tool_use");
}

TEST_F(Anthropic, ArgumentsThatAreNoObjectAreKeptAsText) {
  EXPECT_EQ(anthropic_call_input("").dump(), "{}");
  EXPECT_EQ(anthropic_call_input(R"({"a":)").dump(), R"({"INVALID_JSON":"{\"a\":"})");
  EXPECT_EQ(anthropic_call_input("[1]").dump(), R"({"INVALID_JSON":"[1]"})");
}

TEST_F(Anthropic, AMessageWithoutTextHasAnEmptyBlock) {
  service.script.ends = {{.reason = FinishReason::length}};
  const Json message = json(ask("POST", "/v1/messages", hello));
  EXPECT_EQ(message["content"].dump(), R"([{"type":"text","text":""}])");
  EXPECT_EQ(message["stop_reason"], "max_tokens");
}

TEST_F(Anthropic, TheSystemTextComesFirstWithoutTheLineThatChanges) {
  const std::string messages = R"("messages":[{"role":"user","content":"Hello"}])";
  EXPECT_EQ(summary(task_of(R"("system":"Be kind.",)" + messages).messages), "system(Be kind.)user(Hello)");
  EXPECT_EQ(
      summary(task_of(R"("system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=1; cch=2;"},
                                {"type":"text","text":"Be kind.","cache_control":{"type":"ephemeral"}},
                                {"type":"text","text":"Be short."}],)" +
                      messages)
                  .messages),
      "system(Be kind.\nBe short.)user(Hello)");
  EXPECT_EQ(summary(task_of(R"("system":[],)" + messages).messages), "user(Hello)");
}

TEST_F(Anthropic, BlocksBecomeMessages) {
  EXPECT_EQ(summary(task_of(R"("messages":[
        {"role":"user","content":[{"type":"text","text":"What"},{"type":"text","text":"time?"}]},
        {"role":"assistant","content":[{"type":"thinking","thinking":"a clock","signature":"s"},
          {"type":"redacted_thinking","data":"?"},{"type":"text","text":"Let me "},{"type":"text","text":"see."},
          {"type":"tool_use","id":"toolu_1","name":"clock","input":{"zone":"UTC","at":null}}]},
        {"role":"user","content":[
          {"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"12"}]},
          {"type":"tool_result","tool_use_id":"toolu_2","content":"broken","is_error":true},
          {"type":"tool_result","tool_use_id":"toolu_3"},
          {"type":"text","text":"And"},
          {"type":"document","source":{"type":"text","media_type":"text/plain","data":"now?"}}]},
        {"role":"system","content":"Hurry."}])")
                        .messages),
            "user(What\ntime?)assistant(Let me see. thought:a clock "
            "call:toolu_1:clock:{\"zone\":\"UTC\",\"at\":null})"
            "tool(12 of:toolu_1:clock)tool(Error: broken of:toolu_2:)tool( "
            "of:toolu_3:)user(And\nnow?)system(Hurry.)");
}

TEST_F(Anthropic, TheBeginningOfTheAnswerMayBeGiven) {
  EXPECT_EQ(summary(task_of(R"("messages":[{"role":"user","content":"Hello"},
                                           {"role":"assistant","content":"Good"}])")
                        .messages),
            "user(Hello)assistant(Good)");
}

TEST_F(Anthropic, OptionsAreRead) {
  const ChatTask task = task_of(
      R"("messages":[{"role":"user","content":"Hello"}],"temperature":0.5,"top_p":0.75,"top_k":3,
         "stop_sequences":["a","b"],"metadata":{"user_id":"x"},"unknown":1)");
  EXPECT_EQ(task.options.sampling.temperature, 0.5);
  EXPECT_EQ(task.options.sampling.top_p, 0.75);
  EXPECT_EQ(task.options.sampling.top_k, 3);
  EXPECT_EQ(task.options.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(task.thinking, Thinking::usual);
}

TEST_F(Anthropic, ToolsAreReadAndThoseOfTheServiceLeftOut) {
  const std::string start = R"("messages":[{"role":"user","content":"Hello"}],"tools":[
      {"name":"f","description":"does f","input_schema":{"type":"object","properties":{"b":{},"a":{}}}},
      {"type":"custom","name":"g","input_schema":{},"strict":true},
      {"type":"web_search_20250305","name":"web_search"}],"tool_choice":)";
  ChatTask task = task_of(start + R"({"type":"auto","disable_parallel_tool_use":true})");
  ASSERT_EQ(task.tools.size(), 2u);
  EXPECT_EQ(task.tools[0].name, "f");
  EXPECT_EQ(task.tools[0].description, "does f");
  EXPECT_EQ(task.tools[0].parameters, R"({"type":"object","properties":{"b":{},"a":{}}})");
  EXPECT_TRUE(task.tools[1].strict);
  EXPECT_FALSE(task.parallel_calls);
  EXPECT_EQ(task.tool_choice.kind, ToolChoice::Kind::automatic);
  EXPECT_EQ(task_of(start + R"({"type":"any"})").tool_choice.kind, ToolChoice::Kind::required);
  EXPECT_EQ(task_of(start + R"({"type":"none"})").tool_choice.kind, ToolChoice::Kind::none);
  task = task_of(start + R"({"type":"tool","name":"g"})");
  EXPECT_EQ(task.tool_choice.kind, ToolChoice::Kind::named);
  EXPECT_EQ(task.tool_choice.name, "g");
  EXPECT_EQ(complaint_of(start + R"({"type":"tool","name":"h"})"),
            "tool_choice.name: expected the name of one of the tools, got 'h'");
}

TEST_F(Anthropic, ThinkingIsRead) {
  const std::string start = R"("messages":[{"role":"user","content":"Hello"}],)";
  EXPECT_EQ(task_of(start + R"("thinking":{"type":"disabled"})").thinking, Thinking::none);
  const ChatTask limited = task_of(start + R"("thinking":{"type":"enabled","budget_tokens":2048})");
  EXPECT_EQ(limited.thinking, Thinking::usual);
  EXPECT_EQ(limited.thinking_tokens, 2048);
  auto effort = [&](const std::string& word) {
    return task_of(start + R"("thinking":{"type":"adaptive"},"output_config":{"effort":")" + word + R"("})")
        .thinking;
  };
  EXPECT_EQ(effort("low"), Thinking::brief);
  EXPECT_EQ(effort("medium"), Thinking::usual);
  EXPECT_EQ(effort("max"), Thinking::thorough);
}

TEST_F(Anthropic, ASchemaOfTheAnswerIsRead) {
  const ChatTask task = task_of(R"("messages":[{"role":"user","content":"Hello"}],
      "output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}})");
  EXPECT_EQ(task.options.format.kind, ResponseFormat::Kind::json_schema);
  EXPECT_EQ(task.options.format.source, R"({"type":"object"})");
}

TEST_F(Anthropic, WrongRequestsAreAnsweredInItsForm) {
  const FakeAnswer answer = ask("POST", "/v1/messages", R"({"model":"bird","messages":3})");
  EXPECT_EQ(answer.status, 400);
  Json error = json(answer);
  EXPECT_EQ(error["request_id"], answer.header("request-id"));
  error.erase("request_id");
  EXPECT_EQ(error.dump(), R"({"type":"error","error":{"type":"invalid_request_error",)"
                          R"("message":"messages: expected a list of objects, got the number 3"}})");
  EXPECT_EQ(complaint("/v1/messages", "{"),
            "the body of the request: not valid JSON from byte 1 on (is the file cut off?)");
  EXPECT_EQ(complaint("/v1/messages", R"({"messages":[]})"), "model: expected a text, but it is missing");
  EXPECT_EQ(complaint_of(R"("messages":[])"), "messages: expected at least one message");
  EXPECT_EQ(complaint_of(R"("messages":[{"role":"bird","content":"x"}])"),
            "messages[0].role: expected one of \"user\", \"assistant\", \"system\", got 'bird'");
  EXPECT_EQ(complaint_of(R"("messages":[{"role":"user","content":[{"type":"image","source":{}}]}])"),
            "messages[0].content[0]: this model reads text only, no images");
  EXPECT_EQ(complaint_of(R"("messages":[{"role":"user","content":"x"}],"stop_sequences":[""])"),
            "stop_sequences[0]: expected a text, got \"\"");
  EXPECT_EQ(complaint_of(R"("messages":[{"role":"user","content":"x"}],"temperature":-3)"),
            "temperature: expected a number from 0 to 100, got the number -3");
  EXPECT_EQ(json(ask("GET", "/v1/messages/x"))["type"], "error");
  EXPECT_TRUE(service.chats.empty());
}

TEST_F(Anthropic, ErrorsBeforeTheStreamHaveAStatusAndLaterOnesAreEvents) {
  service.script.refused = TaskError{.kind = TaskError::Kind::overloaded, .message = "too many requests"};
  const FakeAnswer refused = ask("POST", "/v1/messages", streamed);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(json(refused)["error"]["type"], "rate_limit_error");
  service.script.refused = {};
  service.script.error = TaskError{.kind = TaskError::Kind::unavailable, .message = "the server is ending"};
  const FakeAnswer broken = ask("POST", "/v1/messages", streamed);
  EXPECT_TRUE(broken.ended);
  const Json last = named_events(broken).back();
  EXPECT_EQ(last["type"], "error");
  EXPECT_EQ(last["error"].dump(), R"({"type":"overloaded_error","message":"the server is ending"})");
}

TEST_F(Anthropic, ATaskEndsWhenTheClientLeaves) {
  service.wait = true;
  const auto answer = std::make_shared<FakeAnswer>();
  router.handle({.method = "POST", .path = "/v1/messages", .body = streamed}, answer);
  ASSERT_NE(service.sink, nullptr);
  EXPECT_FALSE(service.sink->abandoned());
  EXPECT_FALSE(service.sink->busy());
  answer->slow = true;
  EXPECT_TRUE(service.sink->busy());
  answer->left = true;
  EXPECT_TRUE(service.sink->abandoned());
  service.script.ends = {{.reason = FinishReason::canceled}};
  service.play();
  EXPECT_TRUE(answer->ended);
}

TEST_F(Anthropic, ASilentStreamPings) {
  service.wait = true;
  const auto answer = std::make_shared<FakeAnswer>();
  router.handle({.method = "POST", .path = "/v1/messages", .body = streamed}, answer);
  const std::shared_ptr<TaskSink> sink = service.sink;
  router.tick(), router.tick();
  EXPECT_EQ(answer->answers, 0);
  const std::string ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
  router.tick();
  EXPECT_EQ(answer->body, ping) << "while the request waits";
  sink->started({});
  answer->body.clear();
  router.tick(), router.tick(), router.tick();
  EXPECT_EQ(answer->body, ping);
}

TEST_F(Anthropic, AnErrorOfARequestThatHasWaitedIsAnEvent) {
  service.wait = true;
  const auto answer = std::make_shared<FakeAnswer>();
  router.handle({.method = "POST", .path = "/v1/messages", .body = streamed}, answer);
  router.tick(), router.tick(), router.tick();
  service.script.refused = TaskError{.kind = TaskError::Kind::bad_request, .message = "too long"};
  service.play();
  EXPECT_EQ(answer->answers, 1);
  EXPECT_TRUE(answer->ended);
  EXPECT_EQ(named_events(*answer).back()["error"]["message"], "too long");
}

TEST_F(Anthropic, AStateThatWasKeptIsTold) {
  service.script.ends = {{.state = "s1", .tokens = 9}};
  const FakeAnswer answer =
      ask("POST", "/v1/messages",
          R"({"model":"bird","messages":[{"role":"user","content":"x"}],"return_state":true,"state":"s0"})");
  EXPECT_TRUE(service.chats[0].options.return_state);
  EXPECT_EQ(service.chats[0].options.state, "s0");
  EXPECT_EQ(json(answer)["state"].dump(), R"({"id":"s1","tokens":9})");
}

TEST_F(Anthropic, TokensAreCounted) {
  const FakeAnswer answer =
      ask("POST", "/v1/messages/count_tokens",
          R"({"model":"bird","system":"Be.","messages":[{"role":"user","content":"Hello"}]})");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, R"({"input_tokens":12})");
  EXPECT_TRUE(service.chats.empty());
}

TEST_F(Anthropic, ModelsAreListedForItsClients) {
  router.add(
      {.method = "GET", .path = "/v1/models", .handle = [](Call& call) { respond_json(call, "others"); }});
  EXPECT_EQ(ask("GET", "/v1/models").body, "others");
  const HttpHeaders version = {{"anthropic-version", "2023-06-01"}};
  const std::string model =
      R"({"type":"model","id":"bird","display_name":"bird","created_at":"2023-11-14T22:13:20Z"})";
  EXPECT_EQ(ask("GET", "/v1/models", "", version).body,
            R"({"data":[)" + model + R"(],"has_more":false,"first_id":"bird","last_id":"bird"})");
  EXPECT_EQ(ask("GET", "/v1/models/bird", "", version).body, model);
}

TEST_F(Anthropic, TheKeyOfTheClientGoesWithTheTask) {
  Router guarded(service, {.keys = {"sesame"}});
  add_anthropic(guarded);
  const auto answer = std::make_shared<FakeAnswer>();
  guarded.handle(
      {.method = "POST", .path = "/v1/messages", .headers = {{"x-api-key", "sesame"}}, .body = hello},
      answer);
  ASSERT_EQ(service.chats.size(), 1u);
  EXPECT_NE(service.chats[0].options.key, "");
  const auto refused = std::make_shared<FakeAnswer>();
  guarded.handle({.method = "POST", .path = "/v1/messages", .body = hello}, refused);
  EXPECT_EQ(refused->status, 401);
  EXPECT_EQ(json(*refused)["error"]["type"], "authentication_error");
}

}  // namespace
}  // namespace aviary
