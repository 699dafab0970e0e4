// For tests of OpenAI's Responses.
#pragma once

#include <memory>
#include <string>

#include "serve/responses.h"
#include "support/protocol_test.h"

namespace aviary {

class Responses : public ProtocolTest {
 protected:
  Responses() { add_responses(router, store); }

  FakeAnswer create(const std::string& fields) {
    return ask("POST", "/v1/responses", R"({"model":"bird",)" + fields + "}");
  }
  ChatTask task_of(const std::string& fields) {
    const FakeAnswer answer = create(fields);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return service.chats.empty() ? ChatTask() : service.chats.back();
  }
  std::string complaint_of(const std::string& fields, int status = 400) {
    return complaint("/v1/responses", R"({"model":"bird",)" + fields + "}", status);
  }
  std::string messages() const { return summary(service.chats.back().messages); }
  std::string write(const std::string& text, const std::string& fields) {
    service.script.deltas = {{.content = text}};
    return json(create(fields))["id"];
  }

  std::shared_ptr<ResponseStore> store = std::make_shared<ResponseStore>(ResponseStore::Limits{});
};

}  // namespace aviary
