// For tests of the server's protocols: asks a router with a FakeService, and takes its answers apart.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "serve/router.h"
#include "support/fake_service.h"

namespace aviary {

// The data of the events of a stream. Every event must be "event: NAME", "data: JSON" whose "type" is the
// name, and an empty line.
inline std::vector<nlohmann::ordered_json> named_events(const FakeAnswer& answer) {
  EXPECT_TRUE(answer.streamed);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("Content-Type"), "text/event-stream; charset=utf-8");
  std::vector<nlohmann::ordered_json> events;
  std::string_view rest = answer.body;
  while (!rest.empty()) {
    const std::string_view event = rest.substr(0, rest.find("\n\n"));
    rest.remove_prefix(std::min(rest.size(), event.size() + 2));
    const size_t line = event.find('\n');
    constexpr std::string_view name = "event: ", data = "\ndata: ";
    if (!event.starts_with(name) || line == std::string_view::npos || !event.substr(line).starts_with(data)) {
      ADD_FAILURE() << "not an event: " << event;
      continue;
    }
    events.push_back(parse_ordered_json(event.substr(line + data.size()), "an event", 64));
    EXPECT_EQ(events.back()["type"], event.substr(name.size(), line - name.size()));
  }
  return events;
}

// Whether `actual` has all that `expected` has: the members of an object with these values, the elements of a
// list one by one.
inline bool has_all_of(const nlohmann::ordered_json& expected, const nlohmann::ordered_json& actual) {
  if (expected.is_object()) {
    for (const auto& [name, value] : expected.items())
      if (!actual.is_object() || !actual.contains(name) || !has_all_of(value, actual[name])) return false;
    return true;
  }
  if (!expected.is_array()) return expected == actual;
  if (!actual.is_array() || expected.size() != actual.size()) return false;
  for (size_t i = 0; i < expected.size(); ++i)
    if (!has_all_of(expected[i], actual[i])) return false;
  return true;
}

// Replaces every occurrence.
inline std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

// The messages that a service was given, "system(Be kind.)user(Hello)", with thoughts and calls.
inline std::string summary(const std::vector<Message>& messages) {
  std::string text;
  for (const Message& message : messages) {
    constexpr const char* roles[] = {"system", "user", "assistant", "tool"};
    text += fmt::format("{}({}", roles[static_cast<int>(message.role)], message.content);
    if (!message.reasoning.empty()) text += " thought:" + message.reasoning;
    for (const ToolCall& call : message.calls)
      text += fmt::format(" call:{}:{}:{}", call.id, call.name, call.arguments);
    if (!message.call_id.empty()) text += fmt::format(" of:{}:{}", message.call_id, message.name);
    text += ")";
  }
  return text;
}

class ProtocolTest : public testing::Test {
 protected:
  using Json = nlohmann::ordered_json;

  FakeAnswer ask(std::string_view method, std::string_view path, std::string_view body = "",
                 HttpHeaders headers = {}, HttpHeaders query = {}) {
    const auto answer = std::make_shared<FakeAnswer>();
    router.handle({.method = std::string(method),
                   .path = std::string(path),
                   .query = std::move(query),
                   .headers = std::move(headers),
                   .body = std::string(body)},
                  answer);
    EXPECT_LE(answer->answers, 1);
    return *answer;
  }
  static Json json(const FakeAnswer& answer) { return parse_ordered_json(answer.body, "the answer", 64); }

  // The answer of a request that is refused with 400: its message.
  std::string complaint(std::string_view path, std::string_view body, int status = 400) {
    const FakeAnswer answer = ask("POST", path, body);
    EXPECT_EQ(answer.status, status) << answer.body;
    const Json error = json(answer);
    return error.contains("error") ? error["error"]["message"].get<std::string>() : "no error";
  }

  FakeService service;
  Router router{service, {}};
};

}  // namespace aviary
