// A test fixture: requests of OpenAI's clients to a router on a FakeService.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/json.h"
#include "serve/protocols.h"
#include "support/fake_service.h"

namespace aviary {

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
  static nlohmann::json json(const FakeAnswer& answer) { return parse_json(answer.body, "answer"); }
  // The events of a stream, all but the last, which must be [DONE].
  static std::vector<nlohmann::json> events(const FakeAnswer& answer) {
    EXPECT_TRUE(answer.streamed && answer.ended);
    std::vector<nlohmann::json> all;
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
    const nlohmann::json error = json(answer).at("error");
    EXPECT_TRUE(error.at("message").is_string() && error.at("type").is_string());
    return error.at("message").get<std::string>();
  }
  const TaskOptions& options() { return service.chats.back().options; }

  FakeService service;
  Router router{service, {.version = "1.2"}};
};

}  // namespace aviary
