// What is stored of responses: conversations that go on, lists, and responses in the background.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "serve/response_reply.h"
#include "support/responses_fixture.h"

namespace aviary {
namespace {

using StoredResponses = Responses;

TEST_F(StoredResponses, AResponseGoesOnFromAnother) {
  const std::string first = write("Good day.", R"("input":"Hello","instructions":"Be kind.")");
  const std::string second =
      write("Ada.", R"("input":"Who are you?","previous_response_id":")" + first + "\"");
  EXPECT_EQ(messages(), "user(Hello)assistant(Good day.)user(Who are you?)")
      << "instructions do not carry over";
  write("?", R"("input":"Again","instructions":"Be short.","previous_response_id":")" + second + "\"");
  EXPECT_EQ(messages(),
            "system(Be short.)user(Hello)assistant(Good day.)user(Who are you?)assistant(Ada.)user(Again)");
  write("?", R"("input":"Else","previous_response_id":")" + first + "\"");
  EXPECT_EQ(messages(), "user(Hello)assistant(Good day.)user(Else)") << "two may go on from one";
  EXPECT_EQ(ask("DELETE", "/v1/responses/" + first).body,
            R"({"id":")" + first + R"(","object":"response","deleted":true})");
  write("?", R"("input":"More","previous_response_id":")" + second + "\"");
  EXPECT_EQ(messages(), "user(Hello)assistant(Good day.)user(Who are you?)assistant(Ada.)user(More)")
      << "what others hold of a deleted response remains";
}

TEST_F(StoredResponses, CallsAndTheirOutputsGoOnAcrossResponses) {
  service.script.deltas = {
      {.reasoning = "a clock"},
      {.call = Delta::Call{.index = 0, .id = "call_1", .name = "clock", .arguments = "{}"}}};
  const std::string first = json(create(R"("input":"What time?")"))["id"];
  write("12.", R"("input":[{"type":"function_call_output","call_id":"call_1","output":"12"}],
      "previous_response_id":")" +
                   first + "\"");
  EXPECT_EQ(messages(),
            "user(What time?)assistant( thought:a clock call:call_1:clock:{})tool(12 of:call_1:clock)");
}

TEST_F(StoredResponses, AnItemMayBeNamedByItsId) {
  const std::string id = write("Good day.", R"("input":"Hello")");
  const std::string item = item_id(id, "msg", "0");
  write("?", R"("input":[{"role":"user","content":"Hello"},{"type":"item_reference","id":")" + item +
                 R"("},{"role":"user","content":"More"}])");
  EXPECT_EQ(messages(), "user(Hello)assistant(Good day.)user(More)");
  EXPECT_EQ(complaint_of(R"("input":[{"type":"item_reference","id":"msg_x_0"}])", 404),
            "input[0]: there is no item 'msg_x_0'; it may have been forgotten, so send it");
}

TEST_F(StoredResponses, UnknownResponsesAreNotFound) {
  const FakeAnswer answer = create(R"("input":"x","previous_response_id":"resp_x")");
  EXPECT_EQ(answer.status, 404);
  const Json error = json(answer)["error"];
  EXPECT_EQ(error["code"], "previous_response_not_found");
  EXPECT_EQ(error["param"], "previous_response_id");
  for (const auto& [method, path] : std::vector<std::pair<std::string, std::string>>{
           {"GET", "resp_x"}, {"DELETE", "resp_x"}, {"POST", "resp_x/cancel"}, {"GET", "resp_x/input_items"}})
    EXPECT_EQ(ask(method, "/v1/responses/" + path).status, 404) << path;
}

TEST_F(StoredResponses, WhatIsNotStoredIsNotFound) {
  const std::string id = write("Good day.", R"("input":"Hello","store":false)");
  EXPECT_EQ(ask("GET", "/v1/responses/" + id).status, 404);
  EXPECT_EQ(store->count(), 0u);
}

TEST_F(StoredResponses, AResponseBelongsToItsKey) {
  Router guarded(service, {.keys = {"a", "b"}});
  add_responses(guarded, store);
  auto ask_with = [&](const std::string& key, const std::string& method, const std::string& path) {
    const auto answer = std::make_shared<FakeAnswer>();
    guarded.handle({.method = method,
                    .path = "/v1/responses" + path,
                    .headers = {{"authorization", "Bearer " + key}},
                    .body = R"({"model":"bird","input":"Hello"})"},
                   answer);
    return *answer;
  };
  const std::string id = json(ask_with("a", "POST", ""))["id"];
  EXPECT_NE(service.chats[0].options.key, "");
  EXPECT_EQ(ask_with("a", "GET", "/" + id).status, 200);
  EXPECT_EQ(ask_with("b", "GET", "/" + id).status, 404);
  EXPECT_EQ(ask_with("b", "DELETE", "/" + id).status, 404);
}

TEST_F(StoredResponses, InputItemsAreListed) {
  const std::string first = write("Good day.", R"("input":"Hello")");
  const std::string id = write("Ada.", R"("input":"Who?","previous_response_id":")" + first + "\"");
  const std::string path = "/v1/responses/" + id + "/input_items";
  const Json list = json(ask("GET", path));
  EXPECT_EQ(list["object"], "list");
  EXPECT_FALSE(list["has_more"]);
  ASSERT_EQ(list["data"].size(), 3u);
  EXPECT_EQ(list["data"][0]["content"][0]["text"], "Who?");
  EXPECT_EQ(list["data"][2]["content"].dump(), R"([{"type":"input_text","text":"Hello"}])");
  EXPECT_EQ(list["last_id"], list["data"][2]["id"]);
  const Json page = json(ask("GET", path, "", {}, {{"order", "asc"}, {"limit", "2"}}));
  EXPECT_TRUE(page["has_more"]);
  EXPECT_EQ(page["data"][1]["role"], "assistant");
  const Json rest =
      json(ask("GET", path, "", {}, {{"order", "asc"}, {"after", page["last_id"].get<std::string>()}}));
  ASSERT_EQ(rest["data"].size(), 1u);
  EXPECT_EQ(rest["data"][0]["id"], list["data"][0]["id"]);
  EXPECT_EQ(ask("GET", path, "", {}, {{"limit", "0"}}).status, 400);
  EXPECT_EQ(ask("GET", path, "", {}, {{"after", "x"}}).status, 400);
}

TEST_F(StoredResponses, TokensAreCounted) {
  const std::string first = write("12345", R"("input":"Hello")");
  const FakeAnswer answer = ask("POST", "/v1/responses/input_tokens",
                                R"({"model":"bird","input":"Who?","previous_response_id":")" + first + "\"}");
  EXPECT_EQ(answer.body, R"({"object":"response.input_tokens","input_tokens":20})");
  EXPECT_EQ(store->count(), 1u);
}

TEST_F(StoredResponses, OneMayBeMadeInTheBackground) {
  service.wait = true;
  service.script.deltas = {{.content = "Hi"}};
  const auto answer = std::make_shared<FakeAnswer>();
  router.handle({.method = "POST",
                 .path = "/v1/responses",
                 .body = R"({"model":"bird","input":"Hello","background":true})"},
                answer);
  EXPECT_EQ(json(*answer)["status"], "queued");
  EXPECT_EQ(json(*answer)["background"], true);
  const std::string id = json(*answer)["id"];
  const std::string path = "/v1/responses/" + id;
  answer->left = true;
  EXPECT_FALSE(service.sink->abandoned()) << "nobody needs to wait for it";
  EXPECT_EQ(json(ask("GET", path))["status"], "queued");
  EXPECT_EQ(complaint_of(R"("input":"x","previous_response_id":")" + id + "\""),
            "previous_response_id: this response is still being written");
  service.sink->started({});
  EXPECT_EQ(json(ask("GET", path))["status"], "in_progress");
  service.play();
  const Json done = json(ask("GET", path));
  EXPECT_EQ(done["status"], "completed");
  EXPECT_EQ(done["output"][0]["content"][0]["text"], "Hi");
  EXPECT_EQ(json(ask("POST", path + "/cancel")), done) << "too late";
  EXPECT_EQ(answer->answers, 1);
}

TEST_F(StoredResponses, OneInTheBackgroundMayBeCanceledOrFail) {
  service.wait = true;
  auto begin = [&] {
    return "/v1/responses/" + json(create(R"("input":"x","background":true)"))["id"].get<std::string>();
  };
  const std::string path = begin();
  EXPECT_EQ(json(ask("POST", path + "/cancel"))["status"], "cancelled");
  EXPECT_TRUE(service.sink->abandoned());
  EXPECT_EQ(service.canceled.size(), 1u);
  service.play();
  EXPECT_EQ(json(ask("GET", path))["status"], "cancelled");
  const std::string deleted = begin();
  ask("DELETE", deleted);
  EXPECT_TRUE(service.sink->abandoned());
  service.play();
  EXPECT_EQ(ask("GET", deleted).status, 404);
  const std::string failing = begin();
  service.script.refused = TaskError{.kind = TaskError::Kind::internal, .message = "broken"};
  service.play();
  EXPECT_EQ(json(ask("GET", failing))["status"], "failed");
  EXPECT_EQ(json(ask("GET", failing))["error"].dump(), R"({"code":"server_error","message":"broken"})");
}

TEST_F(StoredResponses, OnlyWhatIsMadeInTheBackgroundMayBeCanceled) {
  const std::string id = write("Hi", R"("input":"Hello")");
  EXPECT_EQ(complaint("/v1/responses/" + id + "/cancel", ""),
            "response_id: only a response that is made in the background can be canceled");
}

TEST_F(StoredResponses, ATaskEndsWhenTheClientLeaves) {
  service.wait = true;
  const auto answer = std::make_shared<FakeAnswer>();
  router.handle({.method = "POST", .path = "/v1/responses", .body = R"({"model":"bird","input":"Hello"})"},
                answer);
  EXPECT_FALSE(service.sink->abandoned());
  answer->left = answer->slow = true;
  EXPECT_TRUE(service.sink->abandoned());
  EXPECT_TRUE(service.sink->busy());
  service.script.ends = {{.reason = FinishReason::canceled}};
  service.play();
  EXPECT_EQ(store->count(), 0u);
}

}  // namespace
}  // namespace aviary
