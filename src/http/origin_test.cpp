#include "http/origin.h"

#include <gtest/gtest.h>

namespace aviary::http {
namespace {

const OriginRules none;
const OriginRules some{.hosts = {"Box.local", "192.168.1.5", "fd00::1"},
                       .cors_origins = {"https://chat.example"}};

HttpRequest request(std::string method, Headers headers, std::string host = "localhost:8080") {
  HttpRequest head;
  head.method = std::move(method);
  head.path = head.target = "/v1/models";
  head.host = std::move(host);
  head.headers = std::move(headers);
  return head;
}

int status(const HttpRequest& head, const OriginRules& rules) {
  const std::optional<Refusal> refusal = check_origin(head, rules);
  return refusal ? refusal->status : 200;
}

std::string value(const Headers& headers, std::string_view name) {
  for (const auto& [key, text] : headers)
    if (key == name) return text;
  return "(none)";
}

TEST(HttpOrigin, TheHostMustBeANameOfThisServer) {
  for (const char* host :
       {"localhost", "LOCALHOST:1", "127.0.0.1", "127.1.2.255:8080", "[::1]", "[::1]:8080"})
    EXPECT_TRUE(is_allowed_host(host, none)) << host;
  for (const char* host : {"", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
                           "128.0.0.1", "127.0.0", "127.0.0.256", "127.0.0.1.1", "127.0.0.", "127..0.1",
                           "1270.0.0.1", "[::2]", "xlocalhost", "0.0.0.0", "localhost:x", "box.local"})
    EXPECT_FALSE(is_allowed_host(host, none)) << host;
}

TEST(HttpOrigin, NamesThatWereGivenAreHostsToo) {
  for (const char* host : {"box.local", "BOX.LOCAL:80", "192.168.1.5:8080", "[fd00::1]:8080"})
    EXPECT_TRUE(is_allowed_host(host, some)) << host;
  for (const char* host : {"a.box.local", "box.locale", "box", "192.168.1.50"})
    EXPECT_FALSE(is_allowed_host(host, some)) << host;
  EXPECT_EQ(status(request("GET", {}, "evil.example"), some), 403);
}

TEST(HttpOrigin, APageOfAnotherOriginIsRefusedUnlessItIsAllowed) {
  for (const char* origin : {"http://localhost:8080", "http://LOCALHOST:8080", "https://chat.example"})
    EXPECT_EQ(status(request("GET", {{"origin", origin}}), some), 200) << origin;
  for (const char* origin :
       {"http://localhost", "http://localhost:8081", "https://localhost:8080", "null", "",
        "http://evil.example", "https://chat.example.evil.example", "http://chat.example",
        "https://chat.example:444", "http://localhost:8080.evil.example"})
    EXPECT_EQ(status(request("GET", {{"origin", origin}}), some), 403) << origin;
  EXPECT_EQ(status(request("GET", {{"origin", "http://localhost:80"}}, "localhost"), none), 200);
  EXPECT_EQ(status(request("GET", {{"origin", "http://evil.example"}}), {.cors_origins = {"*"}}), 200);
}

TEST(HttpOrigin, APageMustSendJsonSoThatItsBrowserAsksFirst) {
  const std::pair<std::string, std::string> page{"sec-fetch-site", "same-origin"};
  EXPECT_EQ(status(request("POST", {page, {"content-type", "application/json"}}), none), 200);
  EXPECT_EQ(status(request("POST", {page, {"content-type", "Application/JSON ; charset=utf-8"}}), none), 200);
  for (const char* type : {"text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""})
    EXPECT_EQ(status(request("POST", {page, {"content-type", type}}), none), 415) << type;
  EXPECT_EQ(status(request("POST", {page}), none), 415);
  EXPECT_EQ(status(request("POST", {{"origin", "http://localhost:8080"}}), none), 415);
  EXPECT_EQ(status(request("GET", {page}), none), 200);
  EXPECT_EQ(status(request("POST", {{"content-type", "application/x-www-form-urlencoded"}}), none), 200)
      << "what curl -d sends";
}

TEST(HttpOrigin, OnlyAnAllowedPageOfAnotherOriginMayReadTheAnswer) {
  const HttpRequest foreign = request("GET", {{"origin", "https://chat.example"}});
  EXPECT_EQ(value(cors_headers(foreign, some), "Access-Control-Allow-Origin"), "https://chat.example");
  EXPECT_EQ(value(cors_headers(foreign, some), "Vary"), "Origin");
  EXPECT_TRUE(cors_headers(foreign, none).empty());
  EXPECT_TRUE(cors_headers(request("GET", {}), some).empty());
  EXPECT_TRUE(cors_headers(request("GET", {{"origin", "http://localhost:8080"}}), some).empty());
}

TEST(HttpOrigin, ABrowserThatAsksFirstIsToldWhatThePageMaySend) {
  Headers question = {{"origin", "https://chat.example"},
                      {"access-control-request-method", "POST"},
                      {"access-control-request-headers", "authorization,x-stainless-os"},
                      {"access-control-request-private-network", "true"}};
  const Headers answer = options_headers(request("OPTIONS", question), some);
  EXPECT_EQ(value(answer, "Access-Control-Allow-Headers"), "authorization,x-stainless-os");
  EXPECT_EQ(value(answer, "Access-Control-Allow-Private-Network"), "true");
  EXPECT_NE(value(answer, "Access-Control-Allow-Methods").find("POST"), std::string::npos);
  EXPECT_EQ(value(answer, "Access-Control-Allow-Credentials"), "(none)");
  question[0].second = "http://evil.example";
  EXPECT_EQ(status(request("OPTIONS", question), some), 403);
  EXPECT_EQ(options_headers(request("OPTIONS", {}), some).size(), 1u) << "Allow alone";
}

TEST(HttpOrigin, KeysAreComparedWhole) {
  const std::vector<std::string> keys = {"first-key", std::string(256, 'k')};
  EXPECT_TRUE(is_one_of("first-key", keys));
  EXPECT_TRUE(is_one_of(std::string(256, 'k'), keys));
  for (const std::string& given :
       {std::string(), std::string("first-ke"), std::string("first-keyy"), std::string("First-key"),
        std::string(257, 'k'), std::string(512, 'k'), "first-key" + std::string(1, '\0')})
    EXPECT_FALSE(is_one_of(given, keys)) << given;
  EXPECT_FALSE(is_one_of("", {""}));
  EXPECT_FALSE(is_one_of(std::string(300, 'a') + "b", {std::string(300, 'a') + "c"}));
  EXPECT_EQ(given_key(request("GET", {{"authorization", "bearer  a b "}})), "a b");
  EXPECT_EQ(given_key(request("GET", {{"authorization", "Basic YTpi"}, {"x-api-key", "c"}})), "c");
  EXPECT_EQ(given_key(request("GET", {})), "");
}

}  // namespace
}  // namespace aviary::http
