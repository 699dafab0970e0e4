// Slow, absent and too many clients, and the end of the server.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <atomic>
#include <list>
#include <mutex>

#include "http/server.h"
#include "support/http_peer.h"

namespace aviary::http {
namespace {

// Keeps every exchange for /hold, answers all others at once.
class Holder : public Handler {
 public:
  void handle(HttpRequest request, std::shared_ptr<Exchange> exchange) override {
    if (request.path != "/hold") return exchange->respond(200, {}, std::move(request.body));
    const std::lock_guard lock(mutex);
    held.push_back(std::move(exchange));
  }
  std::shared_ptr<Exchange> wait_for(size_t n) {
    EXPECT_TRUE(wait_until([&] {
      const std::lock_guard lock(mutex);
      return held.size() > n;
    }));
    const std::lock_guard lock(mutex);
    return held.at(n);
  }

  std::mutex mutex;
  std::vector<std::shared_ptr<Exchange>> held;
};

const std::string hold = "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n";
const std::string plain = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

// Sends a byte now and then until the server has had enough.
std::string drip(HttpPeer& peer) {
  while (peer.send("a")) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return peer.read_to_end();
}

TEST(HttpLimits, AHeaderThatArrivesInSingleBytesHasADeadline) {
  Holder handler;
  RunningServer running(handler, {.limits = {.header_seconds = 0.2, .linger_seconds = 0.1}});
  HttpPeer peer(running.port());
  peer.send("GET / HTTP/1.1\r\nHost: localhost\r\nX: ");
  drip(peer);
  EXPECT_EQ(running.server.statistics().refused.at(408), 1);
  HttpPeer silent(running.port());
  silent.send("GET");
  const std::string text = silent.read_to_end();
  EXPECT_TRUE(text.starts_with("HTTP/1.1 408 Request Timeout\r\n")) << text;
  EXPECT_EQ(running.server.statistics().requests, 0);
}

TEST(HttpLimits, ABodyThatArrivesInSingleBytesHasADeadline) {
  Holder handler;
  RunningServer running(handler, {.limits = {.body_seconds = 0.2, .linger_seconds = 0.1}});
  for (const char* framing : {"Content-Length: 100000", "Transfer-Encoding: chunked"}) {
    HttpPeer peer(running.port());
    peer.send(fmt::format("POST / HTTP/1.1\r\nHost: localhost\r\n{}\r\n\r\n100\r\n", framing));
    drip(peer);
  }
  EXPECT_EQ(running.server.statistics().refused.at(408), 2);
  EXPECT_EQ(running.server.statistics().requests, 0);
}

// Also of bodies that are still arriving, and until the request is answered.
TEST(HttpLimits, AllBodiesTogetherHaveALimit) {
  Holder handler;
  RunningServer running(handler, {.limits = {.bodies = 1000}});
  const auto post = [](const char* path, size_t length, size_t sent) {
    return fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}", path, length,
                       std::string(sent, 'a'));
  };
  const auto ask = [&](size_t length) {
    HttpPeer peer(running.port());
    peer.send(post("/", length, length));
    return peer.read_answer();
  };
  EXPECT_TRUE(ask(5000).starts_with("HTTP/1.1 200")) << "alone";
  HttpPeer first(running.port());
  first.send(post("/hold", 600, 600));
  handler.wait_for(0);
  EXPECT_TRUE(ask(300).starts_with("HTTP/1.1 200"));
  HttpPeer second(running.port());
  second.send(post("/", 500, 450));
  const std::string refused = second.read_to_end();
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 503")) << refused;
  EXPECT_NE(refused.find("Retry-After: 1"), std::string::npos);
  handler.wait_for(0)->respond(200, {}, "");
  handler.held.clear();
  EXPECT_TRUE(wait_until([&] { return running.server.statistics().running_requests == 0; }));
  EXPECT_TRUE(ask(900).starts_with("HTTP/1.1 200"));
}

TEST(HttpLimits, AnIdleConnectionIsClosedWithoutAWord) {
  Holder handler;
  RunningServer running(handler, {.limits = {.idle_seconds = 0.2}});
  EXPECT_EQ(HttpPeer(running.port()).read_to_end(), "");
  std::string answer;
  while (answer.empty()) {  // on a busy machine, the connection may be closed before the request arrives
    HttpPeer peer(running.port());
    peer.send(plain);
    answer = peer.read_to_end();
  }
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_TRUE(running.server.statistics().refused.empty());
}

TEST(HttpLimits, AnEmptyLineAfterARequestIsNoRequest) {
  Holder handler;
  RunningServer running(handler, {.limits = {.header_seconds = 0.1, .idle_seconds = 0.3}});
  HttpPeer peer(running.port());
  peer.send("\r\n");
  EXPECT_EQ(peer.read_to_end(), "") << "closed without a word, not with 408";
}

TEST(HttpLimits, AClientThatReadsNothingMakesItsStreamPauseAndIsDropped) {
  Holder handler;
  RunningServer running(handler, {.limits = {.stall_seconds = 0.5}});
  HttpPeer peer(running.port());
  peer.send(hold);
  const auto exchange = handler.wait_for(0);
  exchange->begin(200, {});
  const std::string piece(4096, 'a');
  ASSERT_TRUE(wait_until([&] {  // the buffers of the system are filled first
    while (exchange->queued_bytes() < Exchange::pause_at && !exchange->closed()) exchange->write(piece);
    return exchange->closed();
  }));
  EXPECT_LT(exchange->queued_bytes(), Exchange::pause_at + 2 * piece.size());
  EXPECT_TRUE(wait_until([&] { return running.server.statistics().open_connections == 0; }));
}

TEST(HttpLimits, AStreamThatPausedGoesOnWhenTheClientReadsAgain) {
  Holder handler;
  RunningServer running(handler);
  HttpPeer peer(running.port());
  peer.send(hold);
  const auto exchange = handler.wait_for(0);
  exchange->begin(200, {});
  std::atomic<int> drains = 0;
  exchange->on_drain([&] { ++drains; });
  const std::string piece(64 << 10, 'a');
  int64_t written = 0;
  // More than the system's buffers hold, so that the queue stays full.
  for (size_t last = 0; last != exchange->queued_bytes() || last < Exchange::pause_at;) {
    last = exchange->queued_bytes();
    if (last < Exchange::pause_at) {
      exchange->write(piece);
      written += static_cast<int64_t>(piece.size());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  exchange->write("the end");
  exchange->end();
  const std::string all = peer.read_until("the end\r\n0\r\n\r\n");
  EXPECT_GT(static_cast<int64_t>(all.size()), written);
  EXPECT_TRUE(wait_until([&] { return drains >= 1; }));
}

TEST(HttpLimits, ConnectionsBeyondTheLimitAreToldToComeBack) {
  Holder handler;
  RunningServer running(handler, {.limits = {.connections = 3, .linger_seconds = 0.1}});
  std::list<HttpPeer> peers;
  for (int i = 0; i < 3; ++i) {
    peers.emplace_back(running.port()).send(plain);
    EXPECT_TRUE(peers.back().read_answer().starts_with("HTTP/1.1 200 "));
  }
  HttpPeer refused(running.port());
  const std::string text = refused.read_to_end();
  EXPECT_TRUE(text.starts_with("HTTP/1.1 503 Service Unavailable\r\n")) << text;
  EXPECT_NE(text.find("Retry-After: 1\r\n"), std::string::npos) << text;
  peers.clear();
  EXPECT_TRUE(wait_until([&] { return running.server.statistics().open_connections == 0; }));
  HttpPeer again(running.port());
  again.send(plain);
  EXPECT_TRUE(again.read_answer().starts_with("HTTP/1.1 200 "));
}

// An IPv4 address of this machine that is not 127.x; empty if it has none.
std::string outer_address() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return {};
  std::string found;
  for (const ifaddrs* entry = list; entry; entry = entry->ifa_next)
    if (entry->ifa_addr && entry->ifa_addr->sa_family == AF_INET) {
      const uint32_t address = ntohl(reinterpret_cast<const sockaddr_in*>(entry->ifa_addr)->sin_addr.s_addr);
      if (address >> 24 != 127)
        found =
            fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
    }
  freeifaddrs(list);
  return found;
}

TEST(HttpLimits, AnotherMachineMayNotTakeAllConnections) {
  const std::string address = outer_address();
  if (address.empty()) GTEST_SKIP() << "this machine has no address but 127.0.0.1";
  Holder handler;
  RunningServer running(handler,
                        {.host = "0.0.0.0", .limits = {.connections_per_address = 2, .linger_seconds = 0.1}});
  std::list<HttpPeer> peers;
  for (int i = 0; i < 2; ++i) {
    peers.emplace_back(running.port(), address).send(plain);
    EXPECT_TRUE(peers.back().read_answer().starts_with("HTTP/1.1 200 "));
  }
  HttpPeer refused(running.port(), address);
  EXPECT_TRUE(refused.read_to_end().starts_with("HTTP/1.1 503 "));
  HttpPeer local(running.port());
  local.send(plain);
  EXPECT_TRUE(local.read_answer().starts_with("HTTP/1.1 200 "));
  peers.clear();
  EXPECT_TRUE(wait_until([&] { return running.server.statistics().open_connections == 1; }));
  HttpPeer again(running.port(), address);
  again.send(plain);
  EXPECT_TRUE(again.read_answer().starts_with("HTTP/1.1 200 "));
}

TEST(HttpStop, RunningRequestsAreFinishedAndIdleConnectionsClosed) {
  Holder handler;
  RunningServer running(handler);
  HttpPeer idle(running.port()), busy(running.port());
  idle.send(plain);
  idle.read_answer();
  busy.send(hold);
  const auto exchange = handler.wait_for(0);
  running.server.stop(3600);
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_FALSE(exchange->closed());
  exchange->begin(200, {});
  exchange->write("finished");
  exchange->end();
  EXPECT_TRUE(busy.read_to_end().ends_with("finished\r\n0\r\n\r\n"));
  running.join();
  std::error_code error;
  platform::Socket::connect("127.0.0.1", running.port(), 60, error);
  EXPECT_TRUE(error);
}

TEST(HttpStop, WhatTakesLongerThanTheGraceIsClosed) {
  Holder handler;
  RunningServer running(handler);
  HttpPeer peer(running.port());
  peer.send(hold);
  const auto exchange = handler.wait_for(0);
  std::atomic<bool> told = false;
  exchange->on_close([&] { told = true; });
  running.server.stop(3600);
  running.server.stop(0.1);
  EXPECT_EQ(peer.read_to_end(), "");
  running.join();
  EXPECT_TRUE(exchange->closed());
  EXPECT_TRUE(told);
  exchange->begin(200, {});
  exchange->write("too late");
  exchange->end();
}

TEST(HttpStop, AServerThatWasStoppedBeforeItRanDoesNotRun) {
  Holder handler;
  HttpServer server({.port = 0}, handler);
  server.stop(0);
  server.run();
}

TEST(HttpStop, AnExchangeMayOutliveItsServer) {
  Holder handler;
  auto running = std::make_unique<RunningServer>(handler);
  HttpPeer peer(running->port());
  peer.send(hold);
  const auto exchange = handler.wait_for(0);
  exchange->begin(200, {});
  running.reset();
  EXPECT_TRUE(exchange->closed());
  exchange->write("too late");
  handler.held.clear();
}

// `streams` streams of `events` events, written step by step like those of an engine, while others wait.
void serve_many(int idle_connections, int streams, int events) {
  Holder handler;
  RunningServer running(handler, {.limits = {.connections = idle_connections + streams}});
  platform::allow_open_files(2 * (idle_connections + streams) + 256);
  std::list<HttpPeer> idle, readers;
  for (int i = 0; i < idle_connections; ++i) idle.emplace_back(running.port());
  for (int i = 0; i < streams; ++i) readers.emplace_back(running.port()).send(hold);
  std::vector<std::shared_ptr<Exchange>> exchanges;
  for (int i = 0; i < streams; ++i) exchanges.push_back(handler.wait_for(static_cast<size_t>(i)));
  std::thread engine([&] {
    for (const auto& exchange : exchanges) exchange->begin(200, event_stream_headers());
    for (int event = 0; event < events; ++event)
      for (const auto& exchange : exchanges) exchange->write(fmt::format("data: {}\n\n", event));
    for (const auto& exchange : exchanges) exchange->end();
  });
  for (HttpPeer& reader : readers)
    EXPECT_TRUE(
        reader.read_until("\r\n0\r\n\r\n").ends_with(fmt::format("data: {}\n\n\r\n0\r\n\r\n", events - 1)));
  engine.join();
  EXPECT_EQ(running.server.statistics().open_connections, idle_connections + streams);
  for (HttpPeer& peer : idle) {
    peer.send(plain);
    EXPECT_TRUE(peer.read_answer().starts_with("HTTP/1.1 200 "));
  }
  EXPECT_EQ(running.server.statistics().requests, idle_connections + streams);
}

TEST(HttpLoad, StreamsRunWhileOthersWait) { serve_many(50, 8, 100); }

TEST(HttpLoadLong, SixtyFourStreamsRunWhileAThousandWait) { serve_many(1000, 64, 1000); }

}  // namespace
}  // namespace aviary::http
