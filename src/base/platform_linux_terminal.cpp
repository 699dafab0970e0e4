// The keys of a terminal.
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/platform.h"

namespace aviary::platform {

bool input_is_terminal() { return ::isatty(STDIN_FILENO) == 1; }

std::string environment_variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

struct RawTerminal::Old {
  termios settings = {};
};

RawTerminal::RawTerminal(std::error_code& error) {
  error.clear();
  auto old = std::make_unique<Old>();
  if (::tcgetattr(STDIN_FILENO, &old->settings) != 0) {
    error = {errno, std::generic_category()};
    return;
  }
  termios raw = old->settings;
  raw.c_iflag &= ~static_cast<tcflag_t>(BRKINT | ICRNL | INPCK | ISTRIP | IXON);
  raw.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | IEXTEN | ISIG);
  raw.c_cflag |= CS8;
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  if (::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) != 0)
    error = {errno, std::generic_category()};
  else
    old_ = std::move(old);
}

RawTerminal::~RawTerminal() {
  if (old_) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &old_->settings);
}

bool RawTerminal::wait_for_bytes(double seconds) const {
  pollfd descriptor = {STDIN_FILENO, POLLIN, 0};
  return ::poll(&descriptor, 1, static_cast<int>(seconds * 1000)) > 0;
}

size_t RawTerminal::read(std::span<std::byte> bytes, std::error_code& error) {
  error.clear();
  const ssize_t count = ::read(STDIN_FILENO, bytes.data(), bytes.size());
  if (count < 0) error = {errno, std::generic_category()};
  return count < 0 ? 0 : static_cast<size_t>(count);
}

}  // namespace aviary::platform
