#include "http/server.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <stdexcept>

#include "base/error.h"
#include "support/http_peer.h"
#include "support/http_probes.h"

namespace aviary::http {
namespace {

// Answers by path; keeps what is asked for under /hold for the test to answer.
class TestHandler : public Handler {
 public:
  uint64_t body_limit(const HttpRequest& head, uint64_t usual) override {
    return head.path == "/large" ? 2 * usual : usual;
  }
  std::optional<Refusal> before_body(const HttpRequest& head) override {
    if (head.path == "/secret" && !is_one_of(given_key(head), {"open"}))
      return Refusal{.status = 401, .message = "a key is needed"};
    if (head.path == "/full")
      return Refusal{.status = 429, .message = "full", .headers = {{"Retry-After", "7"}}};
    if (head.path == "/throw-early") throw std::runtime_error("early");
    return {};
  }
  void handle(HttpRequest request, std::shared_ptr<Exchange> exchange) override {
    if (request.path == "/hold") {
      const std::lock_guard lock(mutex);
      held.push_back(std::move(exchange));
    } else if (request.path == "/throw") {
      throw std::runtime_error("late");
    } else if (request.path == "/refuse") {
      exchange->refuse({.status = 404, .message = "no such model", .code = "model_not_found"});
    } else if (request.path != "/drop") {
      exchange->respond(200, {{"Content-Type", "text/plain"}},
                        fmt::format("{} {} {}", request.method, request.path, request.body.size()));
    }
  }
  std::string refusal_body(const HttpRequest* head, const Refusal& refusal) override {
    return head && head->path == "/refuse" ? R"({"type":"error"})" : error_json(refusal);
  }

  size_t count() {
    const std::lock_guard lock(mutex);
    return held.size();
  }
  // The exchange of the n-th request for /hold.
  std::shared_ptr<Exchange> wait_for(size_t n) {
    EXPECT_TRUE(wait_until([&] { return count() > n; }));
    const std::lock_guard lock(mutex);
    return held.at(n);
  }

  std::mutex mutex;
  std::vector<std::shared_ptr<Exchange>> held;
};

std::string get(std::string_view path, std::string_view fields = "") {
  return fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", path, fields);
}

std::string post(std::string_view path, std::string_view fields, std::string_view body) {
  return fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{}\r\n{}", path,
                     body.size(), fields, body);
}

// The statuses of all answers in `text`, without 100.
std::string statuses(std::string_view text) {
  std::string found;
  constexpr std::string_view start = "HTTP/1.1 ";
  for (size_t at = text.find(start); at != std::string_view::npos; at = text.find(start, at + 1)) {
    const std::string_view status = text.substr(at + start.size(), 3);
    if (status == "100" || status[0] > '9') continue;  // or a sentence about HTTP/1.1
    if (!found.empty()) found += ' ';
    found += status;
  }
  return found;
}

// OPTIONS is answered with 204.
std::string accepted_as_200(std::string found) { return found == "204" ? "200" : found; }

std::string without_waiting(std::string wanted) {
  if (wanted.ends_with("...")) wanted.resize(wanted.size() - 3);
  if (wanted.ends_with(' ')) wanted.pop_back();
  return wanted;
}

class HttpServerTest : public testing::Test {
 protected:
  // The answers to these bytes, after which the client ends.
  std::string exchange_all(std::string_view bytes) {
    HttpPeer peer(running.port());
    peer.send(bytes);
    peer.end();
    return peer.read_to_end();
  }

  TestHandler handler;
  RunningServer running{handler};
};

TEST_F(HttpServerTest, EveryProbeIsAnsweredAsTheStandardWants) {
  for (const HttpProbe& probe : http_probes())
    EXPECT_EQ(accepted_as_200(statuses(exchange_all(probe.bytes))), without_waiting(probe.wanted))
        << probe.name;
}

TEST_F(HttpServerTest, EveryProbeIsAnsweredEquallyIfItArrivesInSingleBytes) {
  for (const HttpProbe& probe : http_probes()) {
    if (probe.bytes.size() > 300) continue;
    HttpPeer peer(running.port());
    for (const char c : probe.bytes)
      if (!peer.send({&c, 1})) break;
    peer.end();
    EXPECT_EQ(accepted_as_200(statuses(peer.read_to_end())), without_waiting(probe.wanted)) << probe.name;
  }
}

TEST_F(HttpServerTest, AnAnswerSaysWhereItEndsAndWhatItIs) {
  HttpPeer peer(running.port());
  peer.send(post("/echo", "", "hello"));
  const std::string text = peer.read_answer();
  EXPECT_TRUE(text.starts_with("HTTP/1.1 200 OK\r\nDate: ")) << text;
  EXPECT_NE(text.find(" GMT\r\nContent-Length: 12\r\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\r\nX-Content-Type-Options: nosniff\r\n"), std::string::npos);
  EXPECT_NE(text.find("\r\nContent-Type: text/plain\r\n"), std::string::npos);
  EXPECT_TRUE(text.ends_with("\r\n\r\nPOST /echo 5")) << text;
  peer.send("HEAD /echo HTTP/1.1\r\nHost: localhost\r\n\r\n" + get("/after"));
  const std::string head = peer.read_until("\r\n\r\n");
  EXPECT_NE(head.find("Content-Length: 12\r\n"), std::string::npos);
  EXPECT_TRUE(peer.read_answer().ends_with("GET /after 0")) << "the answer to HEAD has no body";
  peer.send("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_NE(peer.read_until("\r\n\r\n").find("204 No Content\r\n"), std::string::npos);
}

TEST_F(HttpServerTest, AStreamIsWrittenFromAnotherThread) {
  HttpPeer peer(running.port());
  peer.send(get("/hold"));
  const auto exchange = handler.wait_for(0);
  std::thread engine([&] {
    exchange->begin(200, event_stream_headers());
    for (int i = 0; i < 1000; ++i) exchange->write(fmt::format("data: {}\n\n", i));
    exchange->end();
  });
  const std::string head = peer.read_until("\r\n\r\n");
  EXPECT_NE(head.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_NE(head.find("Content-Type: text/event-stream\r\n"), std::string::npos);
  EXPECT_EQ(peer.read_until("\n\n\r\n"), "9\r\ndata: 0\n\n\r\n");
  EXPECT_TRUE(peer.read_until("\r\n0\r\n\r\n").ends_with("data: 999\n\n\r\n0\r\n\r\n"));
  engine.join();
  peer.send(get("/after"));
  EXPECT_TRUE(peer.read_answer().ends_with("GET /after 0")) << "the connection is used again";
}

TEST_F(HttpServerTest, RequestsBehindAStreamWaitForItsEnd) {
  HttpPeer peer(running.port());
  peer.send(get("/hold") + get("/second") + get("/third"));
  const auto exchange = handler.wait_for(0);
  exchange->begin(200, {});
  exchange->write("first");
  peer.read_until("first");
  EXPECT_EQ(running.server.statistics().requests, 1);
  exchange->end();
  EXPECT_TRUE(peer.read_answer().starts_with("\r\n0\r\n\r\n"));
  EXPECT_TRUE(peer.read_answer().ends_with("GET /second 0"));
  EXPECT_TRUE(peer.read_answer().ends_with("GET /third 0"));
}

TEST_F(HttpServerTest, AClientThatLeavesIsNoticed) {
  for (const bool in_stream : {false, true}) {
    std::atomic<int> calls = 0;
    const size_t n = handler.count();
    std::shared_ptr<Exchange> exchange;
    {
      HttpPeer peer(running.port());
      peer.send(get("/hold"));
      exchange = handler.wait_for(n);
      exchange->on_close([&] { ++calls; });
      EXPECT_FALSE(exchange->closed());
      if (in_stream) {
        exchange->begin(200, {});
        exchange->write("some bytes that the client never reads, so that its system answers with a reset");
        EXPECT_TRUE(wait_until([&] { return exchange->queued_bytes() == 0; }));
      }
    }
    EXPECT_TRUE(wait_until([&] { return exchange->closed(); }));
    EXPECT_TRUE(wait_until([&] { return calls == 1; }));
    exchange->on_close([&] { ++calls; });
    EXPECT_EQ(calls, 2) << "at once, as the client has left";
    if (in_stream)
      exchange->end();
    else
      exchange->respond(200, {}, "late");
  }
  EXPECT_TRUE(wait_until([&] { return running.server.statistics().open_connections == 0; }));
}

TEST_F(HttpServerTest, ForeignHostsAndOriginsAreRefusedBeforeTheHandler) {
  EXPECT_EQ(statuses(exchange_all("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")), "403");
  EXPECT_EQ(statuses(exchange_all("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n")), "403");
  EXPECT_EQ(statuses(exchange_all(get("/", "Origin: http://evil.example\r\n"))), "403");
  EXPECT_EQ(
      statuses(exchange_all(post("/", "Origin: http://localhost\r\nContent-Type: text/plain\r\n", "{}"))),
      "415");
  EXPECT_EQ(running.server.statistics().requests, 0);
  EXPECT_EQ(running.server.statistics().refused.at(403), 3);
  EXPECT_EQ(statuses(exchange_all(get("/", "Origin: http://localhost\r\n"))), "200");
}

TEST(HttpServer, AnAllowedPageOfAnotherOriginMayReadEveryAnswer) {
  TestHandler handler;
  ServerOptions options;
  options.origins.cors_origins = {"https://chat.example"};
  RunningServer running(handler, options);
  for (const char* path : {"/", "/secret", "/refuse"}) {
    HttpPeer peer(running.port());
    peer.send(get(path, "Origin: https://chat.example\r\n"));
    const std::string text = peer.read_answer();
    EXPECT_NE(text.find("Access-Control-Allow-Origin: https://chat.example\r\n"), std::string::npos) << text;
  }
  HttpPeer peer(running.port());
  peer.send(
      "OPTIONS /secret HTTP/1.1\r\nHost: localhost\r\nOrigin: https://chat.example\r\n"
      "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n");
  const std::string text = peer.read_answer();
  EXPECT_EQ(statuses(text), "204") << "a browser asks without the key";
  EXPECT_NE(text.find("Access-Control-Allow-Headers: authorization\r\n"), std::string::npos) << text;
}

TEST_F(HttpServerTest, AKeyIsCheckedBeforeTheBodyIsRead) {
  const std::string head = "POST /secret HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n";
  HttpPeer peer(running.port());
  peer.send(head + "Expect: 100-continue\r\n\r\n");
  const std::string text = peer.read_to_end();
  EXPECT_TRUE(text.starts_with("HTTP/1.1 401 Unauthorized\r\n")) << text;
  EXPECT_NE(text.find("Connection: close\r\n"), std::string::npos);
  EXPECT_TRUE(
      text.ends_with(R"({"error":{"message":"a key is needed","type":"authentication_error","code":null}})"));
  HttpPeer friendly(running.port());
  friendly.send(head + "Expect: 100-continue\r\nAuthorization: Bearer open\r\n\r\n");
  EXPECT_EQ(friendly.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  friendly.send(std::string(1000, 'a'));
  EXPECT_TRUE(friendly.read_answer().ends_with("POST /secret 1000"));
}

TEST(HttpServer, TheLimitOfABodyDependsOnThePath) {
  TestHandler handler;
  RunningServer running(handler, {.limits = {.body = 1 << 20}});
  const std::string body(3 << 19, 'a');
  HttpPeer peer(running.port());
  peer.send(post("/large", "", body));
  EXPECT_TRUE(peer.read_answer().ends_with("POST /large 1572864"));
  HttpPeer refused(running.port());
  refused.send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1572864\r\n\r\n");
  EXPECT_TRUE(refused.read_to_end().starts_with("HTTP/1.1 413 ")) << "without 100";
}

TEST_F(HttpServerTest, ARefusalSaysWhenToComeBackAndInItsOwnForm) {
  const std::string full = exchange_all(get("/full"));
  EXPECT_EQ(statuses(full), "429");
  EXPECT_NE(full.find("Retry-After: 7\r\n"), std::string::npos) << full;
  HttpPeer peer(running.port());
  peer.send(get("/refuse"));
  const std::string text = peer.read_answer();
  EXPECT_EQ(statuses(text), "404");
  EXPECT_TRUE(text.ends_with(R"({"type":"error"})")) << text;
  peer.send(get("/after"));
  EXPECT_EQ(statuses(peer.read_answer()), "200") << "a refusal of the handler keeps the connection";
}

TEST_F(HttpServerTest, ARequestThatIsDroppedOrFailsIsAnsweredWith500) {
  for (const char* path : {"/drop", "/throw", "/throw-early"}) {
    HttpPeer peer(running.port());
    peer.send(get(path));
    EXPECT_EQ(statuses(peer.read_answer()), "500") << path;
  }
}

TEST_F(HttpServerTest, AStreamThatAnswersHeadIsItsHead) {
  HttpPeer peer(running.port());
  peer.send("HEAD /hold HTTP/1.1\r\nHost: localhost\r\n\r\n" + get("/after"));
  const auto exchange = handler.wait_for(0);
  exchange->begin(200, event_stream_headers());
  exchange->write("never sent");
  exchange->end();
  EXPECT_EQ(statuses(peer.read_until("\r\n\r\n")), "200");
  EXPECT_TRUE(peer.read_answer().ends_with("GET /after 0"));
}

TEST_F(HttpServerTest, AStreamThatIsDroppedIsCut) {
  HttpPeer peer(running.port());
  peer.send(get("/hold"));
  auto exchange = handler.wait_for(0);
  exchange->begin(200, {});
  exchange->write("half");
  handler.held.clear();
  exchange.reset();
  EXPECT_TRUE(peer.read_to_end().ends_with("4\r\nhalf\r\n")) << "without the last chunk";
}

TEST_F(HttpServerTest, AnAnswerCannotSmuggleFields) {
  HttpPeer peer(running.port());
  peer.send(get("/hold"));
  const auto exchange = handler.wait_for(0);
  EXPECT_THROW(exchange->respond(200, {{"X-Name", "a\r\nX-Other: b"}}, ""), Error);
  EXPECT_THROW(exchange->respond(200, {{"X Name", "a"}}, ""), Error);
  exchange->respond(200, {}, "");
  EXPECT_EQ(statuses(peer.read_answer()), "200");
}

TEST_F(HttpServerTest, AnOldClientGetsAStreamThatEndsWithTheConnection) {
  HttpPeer peer(running.port());
  peer.send("GET /hold HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const auto exchange = handler.wait_for(0);
  exchange->begin(200, {});
  exchange->write("hello");
  exchange->end();
  const std::string text = peer.read_to_end();
  EXPECT_TRUE(text.ends_with("\r\n\r\nhello")) << text;
  EXPECT_EQ(text.find("chunked"), std::string::npos);
  EXPECT_NE(text.find("Connection: close\r\n"), std::string::npos);
}

TEST(HttpServer, AnAddressOfIPv6IsWrittenInBrackets) {
  TestHandler handler;
  std::optional<RunningServer> running;
  try {
    running.emplace(handler, ServerOptions{.host = "::1"});
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  EXPECT_EQ(running->server.address(), fmt::format("http://[::1]:{}", running->port()));
  HttpPeer peer(running->port(), "::1");
  peer.send(fmt::format("GET / HTTP/1.1\r\nHost: [::1]:{}\r\n\r\n", running->port()));
  EXPECT_EQ(statuses(peer.read_answer()), "200");
}

TEST(HttpServer, AServerTellsItsAddressOrWhyItHasNone) {
  TestHandler handler;
  HttpServer server({.port = 0}, handler);
  EXPECT_GT(server.port(), 0);
  EXPECT_EQ(server.address(), fmt::format("http://127.0.0.1:{}", server.port()));
  try {
    HttpServer second({.port = server.port()}, handler);
    FAIL() << "the port is in use";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()),
              fmt::format("cannot listen on '127.0.0.1', port {}: Address already in use", server.port()));
  }
  EXPECT_THROW(HttpServer({.host = "no.such.host.invalid", .port = 0}, handler), Error);
}

}  // namespace
}  // namespace aviary::http
