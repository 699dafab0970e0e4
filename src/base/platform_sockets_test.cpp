#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "base/platform.h"

namespace aviary::platform {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

// A listening socket and a connection to it, whose other side is `accepted`.
class Sockets : public testing::Test {
 protected:
  Sockets() {
    listener = Socket::listen("127.0.0.1", 0, error);
    EXPECT_FALSE(error) << error.message();
    port = listener.local_address().port;
    client = Socket::connect("localhost", port, 60, error);
    EXPECT_FALSE(error) << error.message();
    listener.wait_for_bytes(60, error);
    listening = listener.release();
    accepted = ::accept(listening, nullptr, nullptr);
    EXPECT_GE(accepted, 0);
  }
  ~Sockets() override {
    ::close(accepted);
    ::close(listening);
  }

  std::error_code error;
  Socket listener, client;
  int port = 0, listening = -1, accepted = -1;
};

TEST_F(Sockets, CarryBytesUntilTheOtherSideEnds) {
  EXPECT_GT(port, 0);
  EXPECT_EQ(peer_address(accepted).host, "127.0.0.1");
  EXPECT_EQ(peer_address(accepted).port, client.local_address().port);
  EXPECT_FALSE(client.wait_for_bytes(0, error));
  ASSERT_EQ(::send(accepted, "hello", 5, 0), 5);
  EXPECT_TRUE(client.wait_for_bytes(60, error));
  char text[10];
  EXPECT_EQ(client.read(std::as_writable_bytes(std::span(text)), error), 5u);
  EXPECT_EQ(std::string_view(text, 5), "hello");
  client.end_writing();
  EXPECT_EQ(::recv(accepted, text, sizeof(text), 0), 0);
  end_writing(accepted);
  EXPECT_EQ(client.read(std::as_writable_bytes(std::span(text)), error), 0u);
  EXPECT_FALSE(error);
}

TEST_F(Sockets, DoNotWaitForeverForAReaderThatReadsNothing) {
  const std::string much(64 << 20, 'a');
  client.write(bytes_of(much), 0.05, error);
  EXPECT_EQ(error, std::errc::timed_out);
}

TEST_F(Sockets, SayThatTheOtherSideHasLeft) {
  ::close(accepted);
  const std::string much(64 << 20, 'a');
  client.write(bytes_of(much), 60, error);
  EXPECT_TRUE(error == std::errc::broken_pipe || error == std::errc::connection_reset) << error.message();
  accepted = ::dup(listening);
}

TEST(Socket, SaysWhyItCannotBeOpened) {
  std::error_code error;
  const Socket first = Socket::listen("127.0.0.1", 0, error);
  EXPECT_FALSE(Socket::listen("127.0.0.1", first.local_address().port, error).is_open());
  EXPECT_EQ(error, std::errc::address_in_use);
  EXPECT_FALSE(Socket::connect("no.such.host.invalid", 80, 60, error).is_open());
  EXPECT_TRUE(error);
  EXPECT_FALSE(error.message().empty());
}

TEST(Socket, OpenFilesAreAllowedUpToTheLimitOfTheSystem) {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  allow_open_files(1);
  rlimit after{};
  ::getrlimit(RLIMIT_NOFILE, &after);
  EXPECT_EQ(after.rlim_cur, before.rlim_cur) << "never lowered";
  rlimit low = before;
  low.rlim_cur = 64;
  ::setrlimit(RLIMIT_NOFILE, &low);
  allow_open_files(128);
  ::getrlimit(RLIMIT_NOFILE, &after);
  EXPECT_EQ(after.rlim_cur, 128u);
  ::setrlimit(RLIMIT_NOFILE, &before);
}

}  // namespace
}  // namespace aviary::platform
