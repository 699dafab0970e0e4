#include "http/client.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "http/reply_reader.h"
#include "support/http_peer.h"

namespace aviary::http {
namespace {

class Answers : public Handler {
 public:
  uint64_t body_limit(const HttpRequest&, uint64_t) override { return 1 << 20; }
  void handle(HttpRequest request, std::shared_ptr<Exchange> exchange) override {
    const std::string* mark = request.header("x-mark");
    if (request.path == "/api/hold") {
      exchange->begin(200, {});
      exchange->write("first");
      held = exchange;
    } else if (request.path == "/api/stream") {
      exchange->begin(200, event_stream_headers());
      for (int i = 0; i < 3; ++i) exchange->write(fmt::format("data: {}\n\n", i));
      exchange->end();
    } else if (request.path == "/api/missing") {
      exchange->refuse({.status = 404, .message = "nothing here"});
    } else {
      exchange->respond(
          200, {{"X-Method", request.method}},
          fmt::format("{}?{} {} {}", request.path, request.query, mark ? *mark : "", request.body));
    }
  }
  std::shared_ptr<Exchange> held;
};

class HttpClientTest : public testing::Test {
 protected:
  std::string url() const { return running.server.address() + "/api/"; }

  Answers handler;
  RunningServer running{handler};
  HttpClient client{url()};
};

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

TEST_F(HttpClientTest, AnAnswerIsRead) {
  const ClientReply reply = client.post("/a?b=c", {{"X-Mark", "m"}}, "hello");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "/api/a?b=c m hello");
  ASSERT_NE(reply.header("x-method"), nullptr);
  EXPECT_EQ(*reply.header("x-method"), "POST");
  EXPECT_TRUE(reply.complete);
  EXPECT_EQ(client.get("/a").body, "/api/a?  ");
  const ClientReply head = client.stream("HEAD", "/a", {}, {}, nullptr);
  EXPECT_EQ(head.body, "");
  EXPECT_EQ(*head.header("content-length"), "9");
}

TEST_F(HttpClientTest, AStreamArrivesInPieces) {
  std::string all;
  const auto add = [&](std::string_view bytes) {
    all += bytes;
    return true;
  };
  const ClientReply reply = client.stream("POST", "/stream", {}, "{}", add);
  EXPECT_EQ(all, "data: 0\n\ndata: 1\n\ndata: 2\n\n");
  EXPECT_EQ(reply.body, "");
  EXPECT_TRUE(reply.complete);
  EXPECT_EQ(client.get("/stream").body, all) << "or at once";
}

TEST_F(HttpClientTest, AnErrorIsCollectedAlsoWhenAStreamWasWanted) {
  const ClientReply reply = client.stream("GET", "/missing", {}, {}, [](std::string_view) { return false; });
  EXPECT_EQ(reply.status, 404);
  EXPECT_NE(reply.body.find("nothing here"), std::string::npos);
}

TEST_F(HttpClientTest, ACallbackEndsTheRequest) {
  const ClientReply reply =
      client.stream("GET", "/hold", {}, {}, [](std::string_view bytes) { return bytes != "first"; });
  EXPECT_EQ(reply.status, 200);
  EXPECT_FALSE(reply.complete);
  EXPECT_TRUE(wait_until([&] { return handler.held->closed(); }));

  int asked = 0;
  const HttpClient patient(url(), {.cancelled = [&] { return ++asked == 3; }});
  EXPECT_FALSE(patient.get("/hold").complete);
  EXPECT_EQ(asked, 3);
}

TEST_F(HttpClientTest, ASilentServerIsAnError) {
  const HttpClient hasty(url(), {.silence_seconds = 0.2});
  EXPECT_EQ(error_of([&] { hasty.get("/hold"); }),
            fmt::format("{} has sent nothing for 200 ms", running.server.address()));
}

TEST_F(HttpClientTest, ARefusalOfALargeBodyIsReadAlthoughTheBodyIsNot) {
  const ClientReply reply = client.post("/a", {}, std::string(8 << 20, 'a'));
  EXPECT_EQ(reply.status, 413);
}

TEST_F(HttpClientTest, AnAnswerHasALimit) {
  const HttpClient small(url(), {.body_limit = 5});
  EXPECT_EQ(error_of([&] { small.get("/a"); }), "the answer is longer than 5 bytes");
}

TEST_F(HttpClientTest, ARequestCannotSmuggleFields) {
  EXPECT_NE(error_of([&] { client.get("/a", {{"X-Mark", "a\r\nX-Other: b"}}); }), "(no error)");
  EXPECT_NE(error_of([&] { client.get("/a b"); }), "(no error)");
}

TEST(HttpClient, AServerThatIsNotThereIsNamed) {
  int port = 0;
  {
    std::error_code error;
    const platform::Socket socket = platform::Socket::listen("127.0.0.1", 0, error);
    port = socket.local_address().port;
  }
  const HttpClient client(fmt::format("http://127.0.0.1:{}", port));
  EXPECT_EQ(
      error_of([&] { client.get("/"); }),
      fmt::format("cannot reach http://127.0.0.1:{}: Connection refused; is a server running there?", port));
}

TEST(HttpClient, OnlyAddressesOfHttpAreTaken) {
  const HttpClient client("HTTP://Box.local:8080/v1/");
  EXPECT_EQ(client.host(), "box.local");
  EXPECT_EQ(client.port(), 8080);
  EXPECT_EQ(HttpClient("http://[::1]").port(), 80);
  EXPECT_NE(error_of([] { HttpClient("https://localhost:8080"); }).find("TLS is not spoken here"),
            std::string::npos);
  for (const char* url :
       {"", "localhost:8080", "http://", "http://a b", "ftp://localhost", "http://me@localhost"})
    EXPECT_NE(error_of([&] { HttpClient{url}; }).find("is not the address of a server"), std::string::npos)
        << url;
}

ClientReply read_reply(std::string_view bytes, bool has_body = true) {
  ReplyReader reader(has_body);
  for (const char c : bytes) reader.feed({&c, 1});
  reader.end();
  return reader.reply();
}

TEST(HttpReply, EveryWayToEndABodyIsKnown) {
  EXPECT_EQ(read_reply("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").body, "hello");
  EXPECT_EQ(read_reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").body,
            "hello");
  EXPECT_EQ(read_reply("HTTP/1.0 200 OK\r\n\r\nhello").body, "hello");
  EXPECT_EQ(read_reply("HTTP/1.1 204\r\n\r\n").status, 204);
  EXPECT_EQ(read_reply("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false).body, "");
  const ClientReply reply =
      read_reply("HTTP/1.1 100 Continue\r\nX: a\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(reply.status, 201);
  EXPECT_EQ(reply.header("x"), nullptr);
}

TEST(HttpReply, WhatIsNotHttpIsAnError) {
  for (const char* bytes :
       {"", "SSH-2.0-x\r\n", "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 99 OK\r\n\r\n", "HTTP/1.1 2000\r\n\r\n",
        "HTTP/1.1 200 OK\n\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n"})
    EXPECT_NE(error_of([&] { read_reply(bytes); }), "(no error)") << bytes;
}

}  // namespace
}  // namespace aviary::http
