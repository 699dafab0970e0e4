#include "serve/router.h"

#include <gtest/gtest.h>

#include "support/fake_service.h"

namespace aviary {
namespace {

class RouterTest : public testing::Test {
 protected:
  Route answering(std::string method, std::string path, bool open = false) {
    return {.method = std::move(method),
            .path = std::move(path),
            .handle =
                [](Call& call) {
                  std::string parts;
                  for (const std::string& part : call.parts) parts += "<" + part + ">";
                  respond_json(call, call.request.key + parts);
                },
            .open = open};
  }
  FakeAnswer ask(Router& router, std::string method, std::string path, HttpHeaders headers = {}) {
    const auto answer = std::make_shared<FakeAnswer>();
    router.handle({.method = std::move(method), .path = std::move(path), .headers = std::move(headers)},
                  answer);
    EXPECT_EQ(answer->answers, 1);
    return *answer;
  }

  FakeService service;
};

TEST_F(RouterTest, FindsARouteByMethodAndPath) {
  Router router(service, {});
  router.add(answering("GET", "/test/{id}"));
  router.add(answering("GET", "/test/{id}/part/{name}"));
  EXPECT_EQ(ask(router, "GET", "/test/a").body, "<a>");
  EXPECT_EQ(ask(router, "GET", "/test/owner/a").body, "<owner/a>");
  EXPECT_EQ(ask(router, "HEAD", "/test/a").status, 200);
  EXPECT_EQ(ask(router, "GET", "/test/").status, 404);
  EXPECT_TRUE(ask(router, "GET", "/test/a").header("x-request-id").starts_with("req_"));
}

TEST_F(RouterTest, ARouteMayBeForRequestsWithAHeader) {
  Router router(service, {});
  router.add({.method = "GET", .path = "/test", .handle = [](Call& call) { respond_json(call, "usual"); }});
  router.add({.method = "GET",
              .path = "/test",
              .handle = [](Call& call) { respond_json(call, "special"); },
              .header = "x-form"});
  EXPECT_EQ(ask(router, "GET", "/test").body, "usual");
  EXPECT_EQ(ask(router, "GET", "/test", {{"x-form", "1"}}).body, "special");
}

TEST_F(RouterTest, SaysWhatIsMissing) {
  Router router(service, {});
  router.add(answering("POST", "/test"));
  const FakeAnswer unknown = ask(router, "GET", "/nothing");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.body, R"({"error":{"message":"there is no GET /nothing","type":"not_found_error",)"
                          R"("param":null,"code":null}})");
  const FakeAnswer wrong = ask(router, "GET", "/test");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.header("Allow"), "POST");
}

TEST_F(RouterTest, AProtocolHasItsOwnFormOfErrors) {
  Router router(service, {});
  router.add_form("/other/", [](const Failure& failure) { return std::to_string(failure.status); });
  EXPECT_EQ(ask(router, "GET", "/other/x").body, "404");
  EXPECT_EQ(router.failure_body("/other/x", {.status = 413}), "413");
}

TEST_F(RouterTest, AKeyIsNeededIfTheServerHasKeys) {
  Router router(service, {.keys = {"sesame", "other"}});
  router.add(answering("GET", "/test"));
  router.add(answering("GET", "/open", true));
  EXPECT_EQ(ask(router, "GET", "/open").status, 200);
  std::string first;
  for (const HttpHeaders& headers : std::vector<HttpHeaders>{{{"authorization", "Bearer sesame"}},
                                                             {{"authorization", "bearer sesame"}},
                                                             {{"x-api-key", "sesame"}}}) {
    const FakeAnswer answer = ask(router, "GET", "/test", headers);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body.find("sesame"), std::string::npos) << "the key goes no further";
    EXPECT_EQ(answer.body, first.empty() ? answer.body : first) << "the same key stands for the same client";
    first = answer.body;
  }
  for (const HttpHeaders& headers : std::vector<HttpHeaders>{{},
                                                             {{"authorization", "Bearer "}},
                                                             {{"authorization", "sesame"}},
                                                             {{"authorization", "Bearer sesam"}},
                                                             {{"authorization", "Bearer sesamesesame"}},
                                                             {{"x-api-key", "Sesame"}}}) {
    const FakeAnswer answer = ask(router, "GET", "/test", headers);
    EXPECT_EQ(answer.status, 401);
    EXPECT_NE(answer.body.find("authentication_error"), std::string::npos);
  }
  EXPECT_EQ(ask(router, "GET", "/nothing").status, 401);
}

TEST_F(RouterTest, WithoutKeysClientsAreAlike) {
  Router router(service, {});
  router.add(answering("GET", "/test"));
  EXPECT_EQ(ask(router, "GET", "/test", {{"authorization", "Bearer sk-anything"}}).body, "");
}

TEST_F(RouterTest, WhatAHandlerThrowsIsAnswered) {
  Router router(service, {});
  auto throwing = [&](std::string path, TaskError error) {
    router.add(
        {.method = "GET", .path = std::move(path), .handle = [error](Call&) { throw TaskFailure(error); }});
  };
  using Kind = TaskError::Kind;
  throwing("/bad", {.kind = Kind::bad_request, .message = "no", .param = "n"});
  throwing("/long", {.kind = Kind::too_large, .message = "no", .code = "context_length_exceeded"});
  throwing("/large", {.kind = Kind::too_large, .message = "no"});
  throwing("/busy", {.kind = Kind::overloaded, .message = "no"});
  throwing("/ending", {.kind = Kind::unavailable, .message = "no"});
  router.add({.method = "GET", .path = "/broken", .handle = [](Call&) { throw std::runtime_error("oh"); }});
  EXPECT_EQ(ask(router, "GET", "/bad").body,
            R"({"error":{"message":"no","type":"invalid_request_error","param":"n","code":null}})");
  EXPECT_EQ(ask(router, "GET", "/long").status, 400);
  EXPECT_EQ(ask(router, "GET", "/large").status, 413);
  EXPECT_EQ(ask(router, "GET", "/ending").status, 503);
  EXPECT_EQ(ask(router, "GET", "/broken").status, 500);
  const FakeAnswer busy = ask(router, "GET", "/busy");
  EXPECT_EQ(busy.status, 429);
  EXPECT_EQ(busy.header("Retry-After"), "1");
  EXPECT_EQ(busy.header("x-should-retry"), "true");
}

TEST_F(RouterTest, AStreamThatIsSilentForThreeTicksSaysThatItLives) {
  Router router(service, {});
  const auto answer = std::make_shared<FakeAnswer>();
  auto stream = std::make_shared<EventStream>(answer);
  router.watch(stream);
  for (int i = 0; i < 5; ++i) router.tick();
  EXPECT_EQ(answer->body, "");
  stream->begin();
  router.tick(), router.tick();
  stream->data("1");
  router.tick(), router.tick();
  EXPECT_EQ(answer->body, "data: 1\n\n");
  router.tick();
  EXPECT_EQ(answer->writes, (std::vector<std::string>{"data: 1\n\n", ": ping\n\n"}));
  stream->event("x", "2");
  stream->end();
  for (int i = 0; i < 5; ++i) router.tick();
  EXPECT_EQ(answer->writes.back(), "event: x\ndata: 2\n\n");
  stream.reset();
  router.tick();
}

TEST(NewIds, DifferEachTime) {
  const std::string first = new_id("chatcmpl-"), second = new_id("chatcmpl-");
  EXPECT_EQ(first.size(), 29u);
  EXPECT_NE(first, second);
}

}  // namespace
}  // namespace aviary
