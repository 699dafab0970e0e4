#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "serve/response_reply.h"
#include "support/responses_fixture.h"

namespace aviary {
namespace {

std::vector<std::string> types(const std::vector<nlohmann::ordered_json>& events) {
  std::vector<std::string> all;
  for (const auto& event : events) all.push_back(event["type"]);
  return all;
}

TEST_F(Responses, AResponseInOnePieceHasAllFields) {
  service.script.deltas = {{.content = "Good "}, {.content = "day"}};
  service.script.usage.reasoning_tokens = 1;
  Json response = json(create(R"("input":"Hello","instructions":"Be kind.","temperature":0.5,"top_p":0.75,
      "max_output_tokens":20,"metadata":{"a":"b"},"user":"u","prompt_cache_key":"k")"));
  const std::string id = response["id"];
  EXPECT_TRUE(id.starts_with("resp_"));
  EXPECT_GE(response["created_at"].get<int64_t>(), 1700000000);
  EXPECT_GE(response["completed_at"].get<int64_t>(), response["created_at"].get<int64_t>());
  response["created_at"] = response["completed_at"] = 1;
  response["presence_penalty"] = response["frequency_penalty"] = 0;
  EXPECT_EQ(
      replaced(response.dump(), id.substr(5), "1"),
      R"({"id":"resp_1","object":"response","created_at":1,"status":"completed","completed_at":1,"error":null,)"
      R"("incomplete_details":null,"model":"bird","output":[{"type":"message","id":"msg_1_0",)"
      R"("role":"assistant","status":"completed","content":[{"type":"output_text","text":"Good day",)"
      R"("annotations":[],"logprobs":[]}]}],"usage":{"input_tokens":7,)"
      R"("input_tokens_details":{"cached_tokens":3},"output_tokens":2,)"
      R"("output_tokens_details":{"reasoning_tokens":1},"total_tokens":9},"background":false,"store":true,)"
      R"("tools":[],"tool_choice":"auto","parallel_tool_calls":true,"reasoning":null,)"
      R"("text":{"format":{"type":"text"}},"instructions":"Be kind.","max_output_tokens":20,)"
      R"("max_tool_calls":null,"metadata":{"a":"b"},"previous_response_id":null,"prompt_cache_key":"k",)"
      R"("safety_identifier":null,"service_tier":"default","temperature":0.5,"top_p":0.75,)"
      R"("presence_penalty":0,"frequency_penalty":0,"top_logprobs":0,"truncation":"disabled","user":"u"})");
  EXPECT_EQ(messages(), "system(Be kind.)user(Hello)");
  EXPECT_EQ(service.chats[0].options.max_tokens, 20);
}

TEST_F(Responses, AStreamIsTheseBytes) {
  service.script.deltas = {{.content = "Hi"}};
  const FakeAnswer answer = create(R"("input":"Hello","stream":true)");
  EXPECT_TRUE(answer.ended);
  const std::vector<Json> events = named_events(answer);
  const std::string id = events[0]["response"]["id"];
  const std::string part = R"({"type":"output_text","text":"Hi","annotations":[],"logprobs":[]})";
  const std::string place = R"("item_id":"msg_1_0","output_index":0,"content_index":0)";
  auto event = [](const std::string& name, int number, const std::string& rest) {
    return fmt::format("event: {0}\ndata: {{\"type\":\"{0}\",\"sequence_number\":{1},{2}}}\n\n", name, number,
                       rest);
  };
  auto response = [](const Json& object) { return "\"response\":" + object["response"].dump(); };
  EXPECT_EQ(
      replaced(answer.body, id.substr(5), "1"),
      replaced(
          event("response.created", 0, response(events[0])) +
              event("response.in_progress", 1, response(events[0])) +
              event("response.output_item.added", 2,
                    R"("output_index":0,"item":{"type":"message","id":"msg_1_0","role":"assistant",)"
                    R"("status":"in_progress","content":[]})") +
              event("response.content_part.added", 3,
                    place + R"(,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]})") +
              event("response.output_text.delta", 4, place + R"(,"delta":"Hi","logprobs":[])") +
              event("response.output_text.done", 5, place + R"(,"text":"Hi","logprobs":[])") +
              event("response.content_part.done", 6, place + ",\"part\":" + part) +
              event("response.output_item.done", 7,
                    R"("output_index":0,"item":{"type":"message","id":"msg_1_0","role":"assistant",)"
                    R"("status":"completed","content":[)" +
                        part + "]}") +
              event("response.completed", 8, response(events[8])),
          id.substr(5), "1"));
  EXPECT_EQ(events[0]["response"]["status"], "in_progress");
  EXPECT_EQ(events[0]["response"]["usage"], nullptr);
  EXPECT_EQ(events[8]["response"], json(ask("GET", "/v1/responses/" + id)));
}

// Field by field the stream that npm openai 7.59.0 accepted; here response.in_progress comes second.
TEST_F(Responses, TextGivesTheStreamThatTheOfficialClientReads) {
  service.script.usage = {.prompt_tokens = 1, .tokens = 1};
  service.script.deltas = {{.content = "Hi"}};
  const FakeAnswer answer = create(R"("input":"Hello","stream":true)");
  std::vector<Json> events = named_events(answer);
  EXPECT_EQ(std::erase_if(events, [](const Json& one) { return one["type"] == "response.in_progress"; }), 1u);
  const std::string id = events[0]["response"]["id"].get<std::string>().substr(5);
  const std::string item =
      R"({"type":"message","id":"msg_1","role":"assistant","status":"completed",
          "content":[{"type":"output_text","text":"Hi","annotations":[]}]})";
  const std::vector<std::string> expected = {
      R"({"type":"response.created","response":{"id":"resp_1","object":"response","status":"in_progress",
          "model":"bird","output":[]}})",
      R"({"type":"response.output_item.added","output_index":0,
          "item":{"type":"message","id":"msg_1","role":"assistant","status":"in_progress","content":[]}})",
      R"({"type":"response.content_part.added","item_id":"msg_1","output_index":0,"content_index":0,
          "part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}})",
      R"({"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,
          "delta":"Hi","logprobs":[]})",
      R"({"type":"response.output_text.done","item_id":"msg_1","output_index":0,"content_index":0,
          "text":"Hi","logprobs":[]})",
      R"({"type":"response.content_part.done","item_id":"msg_1","output_index":0,"content_index":0,
          "part":{"type":"output_text","text":"Hi","annotations":[],"logprobs":[]}})",
      R"({"type":"response.output_item.done","output_index":0,"item":)" + item + "}",
      R"({"type":"response.completed","response":{"id":"resp_1","object":"response","status":"completed",
          "model":"bird","output":[)" +
          item + R"(],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}})"};
  ASSERT_EQ(events.size(), expected.size());
  for (size_t i = 0; i < events.size(); ++i) {
    const std::string actual = replaced(replaced(events[i].dump(), "msg_" + id + "_0", "msg_1"), id, "1");
    EXPECT_TRUE(has_all_of(parse_ordered_json(expected[i], "expected"), parse_ordered_json(actual, "actual")))
        << actual;
  }
}

TEST_F(Responses, ThoughtTextAndCallsAreItemsOfTheirOwn) {
  service.script.deltas = {
      {.reasoning = "H"},
      {.reasoning = "m"},
      {.content = "Hi"},
      {.call = Delta::Call{.index = 0, .id = "call_a", .name = "f", .arguments = "{\"a\":"}},
      {.call = Delta::Call{.index = 0, .arguments = "1}"}},
      {.call = Delta::Call{.index = 1, .id = "call_b", .name = "g"}}};
  service.script.ends = {{.reason = FinishReason::tool_calls}};
  const std::vector<Json> events = named_events(create(R"("input":"Hello","stream":true)"));
  EXPECT_EQ(types(events), (std::vector<std::string>{"response.created",
                                                     "response.in_progress",
                                                     "response.output_item.added",
                                                     "response.reasoning_summary_part.added",
                                                     "response.reasoning_summary_text.delta",
                                                     "response.reasoning_summary_text.delta",
                                                     "response.reasoning_summary_text.done",
                                                     "response.reasoning_summary_part.done",
                                                     "response.output_item.done",
                                                     "response.output_item.added",
                                                     "response.content_part.added",
                                                     "response.output_text.delta",
                                                     "response.output_text.done",
                                                     "response.content_part.done",
                                                     "response.output_item.done",
                                                     "response.output_item.added",
                                                     "response.function_call_arguments.delta",
                                                     "response.function_call_arguments.delta",
                                                     "response.function_call_arguments.done",
                                                     "response.output_item.done",
                                                     "response.output_item.added",
                                                     "response.function_call_arguments.done",
                                                     "response.output_item.done",
                                                     "response.completed"}));
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i]["sequence_number"], i);
  const std::string own = events[0]["response"]["id"].get<std::string>().substr(5);
  auto text = [&](const Json& value) { return replaced(value.dump(), own, "1"); };
  EXPECT_EQ(text(events[2]["item"]), R"({"type":"reasoning","id":"rs_1_0","summary":[]})");
  EXPECT_EQ(text(events[4]),
            R"({"type":"response.reasoning_summary_text.delta","sequence_number":4,"item_id":"rs_1_0",)"
            R"("output_index":0,"summary_index":0,"delta":"H"})");
  EXPECT_EQ(text(events[8]["item"]),
            R"({"type":"reasoning","id":"rs_1_0","summary":[{"type":"summary_text","text":"Hm"}]})");
  EXPECT_EQ(text(events[15]["item"]),
            R"({"type":"function_call","id":"fc_1_2","call_id":"call_a","name":"f",)"
            R"("arguments":"","status":"in_progress"})");
  EXPECT_EQ(text(events[16]),
            R"({"type":"response.function_call_arguments.delta","sequence_number":16,"item_id":"fc_1_2",)"
            R"("output_index":2,"delta":"{\"a\":"})");
  EXPECT_EQ(text(events[18]),
            R"({"type":"response.function_call_arguments.done","sequence_number":18,"item_id":"fc_1_2",)"
            R"("output_index":2,"name":"f","arguments":"{\"a\":1}"})");
  EXPECT_EQ(text(events[22]["item"]),
            R"({"type":"function_call","id":"fc_1_3","call_id":"call_b","name":"g",)"
            R"("arguments":"","status":"completed"})");
  EXPECT_EQ(events.back()["response"]["output"].size(), 4u);
}

TEST_F(Responses, ATextThatIsCutIsIncomplete) {
  service.script.deltas = {{.content = "Hi"}};
  service.script.ends = {{.reason = FinishReason::length}};
  const Json last = named_events(create(R"("input":"Hello","stream":true)")).back();
  EXPECT_EQ(last["type"], "response.incomplete");
  EXPECT_EQ(last["response"]["incomplete_details"].dump(), R"({"reason":"max_output_tokens"})");
  EXPECT_EQ(last["response"]["output"][0]["status"], "incomplete");
  EXPECT_EQ(last["response"]["completed_at"], nullptr);
}

TEST_F(Responses, AResponseWithoutTextHasAnEmptyMessage) {
  const Json response = json(create(R"("input":"Hello")"));
  EXPECT_EQ(response["output"][0]["content"][0]["text"], "");
  EXPECT_EQ(types(named_events(create(R"("input":"Hello","stream":true)"))).size(), 8u);
}

TEST_F(Responses, ErrorsBeforeTheStreamHaveAStatusAndLaterOnesAreAnEvent) {
  service.script.refused = TaskError{.kind = TaskError::Kind::too_large,
                                     .message = "the prompt is too long",
                                     .code = "context_length_exceeded"};
  const FakeAnswer refused = create(R"("input":"Hello","stream":true)");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(json(refused)["error"]["code"], "context_length_exceeded");
  service.script.refused = {};
  service.script.deltas = {{.content = "Hi"}};
  service.script.error = TaskError{.kind = TaskError::Kind::overloaded, .message = "try again in 3s"};
  const FakeAnswer broken = create(R"("input":"Hello","stream":true)");
  EXPECT_TRUE(broken.ended);
  const Json last = named_events(broken).back();
  EXPECT_EQ(last["type"], "response.failed");
  EXPECT_EQ(last["response"]["status"], "failed");
  EXPECT_EQ(last["response"]["error"].dump(),
            R"({"code":"rate_limit_exceeded","message":"try again in 3s"})");
  EXPECT_EQ(last["response"]["output"][0]["status"], "incomplete");
  EXPECT_FALSE(last.contains("error"));
  const FakeAnswer whole = create(R"("input":"Hello")");
  EXPECT_EQ(whole.status, 429);
}

TEST_F(Responses, AnErrorOfARequestThatHasWaitedIsAnEvent) {
  service.wait = true;
  const auto answer = std::make_shared<FakeAnswer>();
  router.handle({.method = "POST",
                 .path = "/v1/responses",
                 .body = R"({"model":"bird","input":"Hello","stream":true,"return_state":true})"},
                answer);
  EXPECT_TRUE(service.chats[0].options.return_state);
  router.tick(), router.tick(), router.tick();
  EXPECT_EQ(answer->body, ": ping\n\n");
  answer->body.clear();
  service.script.refused = TaskError{.kind = TaskError::Kind::bad_request, .message = "too long"};
  service.play();
  EXPECT_EQ(types(named_events(*answer)),
            (std::vector<std::string>{"response.created", "response.in_progress", "response.failed"}));
  EXPECT_EQ(answer->answers, 1);
}

TEST_F(Responses, ProbabilitiesOfTokensComeWithTheirText) {
  const TokenLogprob token = {
      .token = 5, .bytes = "H", .logprob = -0.5, .top = {{.token = 6, .bytes = "J", .logprob = -1}}};
  service.script.deltas = {{.logprobs = {token}}, {.content = "Hi", .logprobs = {token}}};
  const std::vector<Json> events = named_events(
      create(R"("input":"Hello","stream":true,"include":["message.output_text.logprobs"],"top_logprobs":1)"));
  EXPECT_TRUE(service.chats[0].options.logprobs);
  EXPECT_EQ(service.chats[0].options.top_logprobs, 1);
  const std::string one = R"({"token":"H","logprob":-0.5,"bytes":[72],)"
                          R"("top_logprobs":[{"token":"J","logprob":-1.0,"bytes":[74]}]})";
  EXPECT_EQ(events[4]["logprobs"].dump(), "[" + one + "," + one + "]");
  EXPECT_EQ(events.back()["response"]["output"][0]["content"][0]["logprobs"].size(), 2u);
}

TEST_F(Responses, ItemsBecomeMessages) {
  task_of(R"("instructions":"Be kind.","input":[
      {"role":"developer","content":"Be short."},
      {"type":"message","role":"user","content":[{"type":"input_text","text":"What"},{"type":"input_text","text":"time?"}]},
      {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"a clock"}],"encrypted_content":null},
      {"type":"message","role":"assistant","content":[{"type":"output_text","text":"Let me "},{"type":"output_text","text":"see."}]},
      {"type":"function_call","call_id":"call_1","name":"clock","arguments":"{\"zone\": \"UTC\"}"},
      {"type":"function_call","call_id":"call_2","name":"bell","arguments":"{}"},
      {"type":"function_call_output","call_id":"call_1","output":"12"},
      {"type":"function_call_output","call_id":"call_2","output":[{"type":"input_text","text":"ding"}]},
      {"type":"message","role":"user","content":"And now?"}])");
  EXPECT_EQ(messages(),
            "system(Be kind.)system(Be short.)user(What\ntime?)"
            "assistant(Let me see. thought:a clock call:call_1:clock:{\"zone\": \"UTC\"} call:call_2:bell:{})"
            "tool(12 of:call_1:clock)tool(ding of:call_2:bell)user(And now?)");
}

TEST_F(Responses, ToolsOfOtherKindsAreLeftOut) {
  const std::string start = R"("input":"Hello","tools":[{"type":"web_search"},
      {"type":"function","name":"f","description":"does f","parameters":{"type":"object"},"strict":true},
      {"type":"function","name":"g"}],)";
  const Json response = json(create(start + R"("tool_choice":"required","parallel_tool_calls":false)"));
  const ChatTask& task = service.chats[0];
  ASSERT_EQ(task.tools.size(), 2u);
  EXPECT_EQ(task.tools[0].parameters, R"({"type":"object"})");
  EXPECT_TRUE(task.tools[0].strict);
  EXPECT_EQ(task.tool_choice.kind, ToolChoice::Kind::required);
  EXPECT_FALSE(task.parallel_calls);
  EXPECT_EQ(
      response["tools"].dump(),
      R"([{"type":"function","name":"f","description":"does f","parameters":{"type":"object"},"strict":true},)"
      R"({"type":"function","name":"g","description":null,"parameters":null,"strict":false}])");
  EXPECT_EQ(response["tool_choice"], "required");
  EXPECT_EQ(task_of(start + R"("tool_choice":{"type":"function","name":"g"})").tool_choice.name, "g");
  const ChatTask some = task_of(start + R"("tool_choice":{"type":"allowed_tools","mode":"required",
      "tools":[{"type":"function","name":"g"}]})");
  ASSERT_EQ(some.tools.size(), 1u);
  EXPECT_EQ(some.tools[0].name, "g");
  EXPECT_EQ(some.tool_choice.kind, ToolChoice::Kind::required);
  EXPECT_EQ(complaint_of(start + R"("tool_choice":{"type":"function","name":"h"})"),
            "tool_choice.name: expected the name of one of the tools, got 'h'");
}

TEST_F(Responses, FormatAndThinkingAreRead) {
  const Json response = json(create(R"("input":"Hello","reasoning":{"effort":"low","summary":"auto"},"text":{
      "verbosity":"low","format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true}})"));
  EXPECT_EQ(service.chats[0].options.format.kind, ResponseFormat::Kind::json_schema);
  EXPECT_EQ(service.chats[0].options.format.source, R"({"type":"object"})");
  EXPECT_EQ(service.chats[0].thinking, Thinking::brief);
  EXPECT_EQ(response["reasoning"].dump(), R"({"effort":"low","summary":"auto"})");
  EXPECT_EQ(response["text"].dump(),
            R"({"format":{"type":"json_schema","name":"n","description":null,"schema":{"type":"object"},)"
            R"("strict":true},"verbosity":"low"})");
  EXPECT_EQ(task_of(R"("input":"Hello","text":{"format":{"type":"json_object"}})").options.format.kind,
            ResponseFormat::Kind::json_object);
  EXPECT_EQ(task_of(R"("input":"Hello","reasoning":{"effort":"none"})").thinking, Thinking::none);
}

TEST_F(Responses, WrongRequestsAreRefused) {
  EXPECT_EQ(complaint_of(R"("store":true)"), "input: expected a text or a list of items, got null");
  EXPECT_EQ(complaint_of(R"("input":[{"role":"user","content":[{"type":"input_image","image_url":"x"}]}])"),
            "input[0].content[0]: this model reads text only, no part of the type input_image");
  EXPECT_EQ(complaint_of(R"("input":[{"type":"computer_call"}])"),
            "input[0].type: there are no items of the type 'computer_call' here, but message, reasoning, "
            "function_call, function_call_output and item_reference");
  EXPECT_EQ(complaint_of(R"("input":[{"role":"bird","content":"x"}])"),
            "input[0].role: expected one of \"user\", \"assistant\", \"system\", \"developer\", got 'bird'");
  EXPECT_EQ(complaint_of(R"("input":"x","max_output_tokens":0)"),
            "max_output_tokens: expected a whole number of at least 1, got the number 0");
  EXPECT_EQ(complaint_of(R"("input":"x","conversation":"c")"),
            "conversation: there are no conversations here; use previous_response_id");
  EXPECT_EQ(complaint_of(R"("input":"x","background":true,"store":false)"),
            "background: a response that is made in the background must be stored");
  EXPECT_TRUE(service.chats.empty());
}

}  // namespace
}  // namespace aviary
