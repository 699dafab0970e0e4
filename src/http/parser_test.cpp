#include "http/parser.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>

#include "support/http_probes.h"

namespace aviary::http {
namespace {

constexpr uint64_t body_limit = 16 << 20;

std::string shown(const HttpRequest& request) {
  std::string text =
      fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|", request.method, request.target, request.path, request.query,
                  request.host, request.minor_version, request.keep_alive, request.expects_continue);
  for (const auto& [name, value] : request.headers) text += fmt::format("{}={}|", name, value);
  return text + request.body;
}

struct Outcome {
  std::string statuses;  // as in HttpProbe::wanted
  std::string details;   // everything that was read, and the sentence of a refusal
  bool operator==(const Outcome&) const = default;
};

// Reads the requests of a connection on which these pieces arrive one after the other.
Outcome read_all(std::span<const std::string_view> pieces) {
  RequestParser parser;
  Outcome outcome;
  auto add_status = [&](std::string_view status) {
    if (!outcome.statuses.empty()) outcome.statuses += ' ';
    outcome.statuses += status;
  };
  for (std::string_view piece : pieces)
    while (!piece.empty() && parser.state() != RequestParser::State::refused) {
      piece.remove_prefix(parser.feed(piece));
      if (parser.state() == RequestParser::State::head_complete) parser.read_body(body_limit);
      if (parser.state() == RequestParser::State::complete) {
        add_status("200");
        outcome.details += shown(parser.take()) + "\n";
      }
    }
  if (parser.state() == RequestParser::State::refused) {
    add_status(std::to_string(parser.refusal().status));
    outcome.details += parser.refusal().message;
  } else if (!parser.is_fresh()) {
    add_status("...");
  }
  return outcome;
}

Outcome read_whole(std::string_view bytes) { return read_all(std::span(&bytes, 1)); }

HttpRequest read_request(std::string_view bytes) {
  RequestParser parser;
  size_t used = parser.feed(bytes);
  parser.read_body(body_limit);
  used += parser.feed(bytes.substr(used));
  EXPECT_EQ(parser.state(), RequestParser::State::complete) << parser.refusal().message;
  EXPECT_EQ(used, bytes.size());
  return parser.take();
}

TEST(HttpParser, EveryProbeIsAnsweredAsTheStandardWants) {
  for (const HttpProbe& probe : http_probes())
    EXPECT_EQ(read_whole(probe.bytes).statuses, probe.wanted) << probe.name;
}

TEST(HttpParser, TheResultDoesNotDependOnHowTheBytesAreDivided) {
  for (const HttpProbe& probe : http_probes()) {
    const std::string_view bytes = probe.bytes;
    const Outcome whole = read_whole(bytes);
    std::vector<std::string_view> single;
    for (size_t i = 0; i < bytes.size(); ++i) single.push_back(bytes.substr(i, 1));
    ASSERT_EQ(read_all(single), whole) << probe.name << ", byte by byte";
    const size_t step =
        bytes.size() < 1000 ? 1 : bytes.size() / 50;  // large ones are divided at some places only
    for (size_t at = 1; at < bytes.size(); at += step) {
      const std::string_view parts[] = {bytes.substr(0, at), bytes.substr(at)};
      ASSERT_EQ(read_all(parts), whole) << probe.name << ", divided at byte " << at;
    }
  }
}

TEST(HttpParser, ARefusalIsOneSentenceWithoutControlCharacters) {
  for (const HttpProbe& probe : http_probes()) {
    RequestParser parser;
    const size_t used = parser.feed(probe.bytes);
    parser.read_body(body_limit);
    parser.feed(std::string_view(probe.bytes).substr(used));
    if (parser.state() != RequestParser::State::refused) continue;
    EXPECT_FALSE(parser.refusal().message.empty()) << probe.name;
    for (const char c : parser.refusal().message) EXPECT_TRUE(is_field_byte(c)) << probe.name;
  }
}

TEST(HttpParser, ARequestIsTakenApart) {
  const HttpRequest request = read_request(
      "POST /v1/%C3%A9tats?name=a%20b+c&flag&name=d HTTP/1.1\r\nHost: LocalHost:8080\r\nX-Two:  a, b \r\n"
      "Content-Length: 5\r\n\r\nhello");
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.target, "/v1/%C3%A9tats?name=a%20b+c&flag&name=d");
  EXPECT_EQ(request.path, "/v1/\xc3\xa9tats");
  EXPECT_EQ(request.query_value("name"), "a b c");
  EXPECT_EQ(request.query_value("flag"), "");
  EXPECT_EQ(request.query_value("nam"), std::nullopt);
  EXPECT_EQ(request.host, "localhost:8080");
  ASSERT_NE(request.header("x-two"), nullptr);
  EXPECT_EQ(*request.header("x-two"), "a, b");
  EXPECT_EQ(request.header("x-three"), nullptr);
  EXPECT_EQ(request.body, "hello");
  EXPECT_TRUE(request.keep_alive);
}

TEST(HttpParser, TheHostOfAnAbsoluteTargetCounts) {
  EXPECT_EQ(read_request("GET http://Evil.example/a?b HTTP/1.1\r\nHost: localhost\r\n\r\n").host,
            "evil.example");
}

TEST(HttpParser, ChunksAreJoinedAndTrailersAreDropped) {
  const HttpRequest request = read_request(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX-Trail: a\r\nHost: b\r\n\r\n");
  EXPECT_EQ(request.body, "hello");
  EXPECT_EQ(request.header("x-trail"), nullptr);
  EXPECT_EQ(request.headers.size(), 2u);
}

TEST(HttpParser, AConnectionIsKeptUnlessTheClientWantsItClosed) {
  EXPECT_TRUE(read_request("GET / HTTP/1.1\r\nHost: a\r\n\r\n").keep_alive);
  EXPECT_FALSE(read_request("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, Close\r\n\r\n").keep_alive);
  EXPECT_FALSE(read_request("GET / HTTP/1.0\r\n\r\n").keep_alive);
  EXPECT_TRUE(read_request("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
}

TEST(HttpParser, TheBodyWaitsUntilTheHeadIsAccepted) {
  RequestParser parser;
  const std::string_view bytes =
      "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello";
  EXPECT_EQ(parser.feed(bytes), bytes.size() - 5);
  EXPECT_EQ(parser.state(), RequestParser::State::head_complete);
  EXPECT_EQ(parser.head().path, "/a");
  EXPECT_TRUE(parser.head().expects_continue);
  EXPECT_EQ(parser.feed("hello"), 0u);
  parser.read_body(4);
  EXPECT_EQ(parser.state(), RequestParser::State::refused);
  EXPECT_EQ(parser.refusal().status, 413);
}

TEST(HttpParser, ManyShortHeaderLinesAreCountedTogether) {
  RequestParser parser;
  parser.feed("GET / HTTP/1.1\r\n");
  size_t sent = 0;
  for (; sent < 400'000 && parser.state() == RequestParser::State::need_more; sent += 1000)
    parser.feed("X: " + std::string(995, 'a') + "\r\n");
  EXPECT_EQ(parser.refusal().status, 431);
  EXPECT_LE(sent, 17'000u);
}

}  // namespace
}  // namespace aviary::http
