// SIGBUS: a page of a mapped file cannot be read, because the file was cut short or the disk fails. The
// handler may use only what signal-safety(7) allows, so it finds the file in proc(5) without allocating
// memory.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <string_view>

#include "base/platform.h"

namespace aviary::platform {
namespace {

constexpr size_t longest_line = 8192;  // of /proc/self/maps: a path and less than 100 characters
char line[longest_line];

// The path in a line "begin-end r--p offset device inode   /path", if `address` is between begin and end.
std::string_view path_at(uintptr_t address, std::string_view mapping) {
  const char* const last = mapping.data() + mapping.size();
  uintptr_t begin = 0, end = 0;
  const auto first = std::from_chars(mapping.data(), last, begin, 16);
  if (first.ptr == last || std::from_chars(first.ptr + 1, last, end, 16).ec != std::errc()) return {};
  const size_t path = mapping.find('/');
  return begin <= address && address < end && path != mapping.npos ? mapping.substr(path) : "";
}

// The path of the file that is mapped at `address`; empty if it is not found. Its control characters are
// replaced, because it will be shown.
std::string_view mapped_file_at(uintptr_t address) {
  const int maps = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (maps < 0) return {};
  std::string_view path;
  char piece[512];
  size_t length = 0;
  for (ssize_t count = 1; path.empty() && (count = ::read(maps, piece, sizeof piece)) > 0;)
    for (ssize_t i = 0; i < count && path.empty(); ++i) {
      if (piece[i] != '\n') {
        const auto byte = static_cast<unsigned char>(piece[i]);
        if (length < longest_line) line[length++] = byte < 0x20 || byte == 0x7f ? '?' : piece[i];
        continue;
      }
      path = path_at(address, {line, length});
      length = 0;
    }
  ::close(maps);
  return path;
}

void say(std::string_view text) { static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size())); }

void tell(int signal, siginfo_t* about, void*) {
  static std::atomic_flag told;
  if (about->si_code <= 0) {  // sent by a process
    ::signal(signal, SIG_DFL);
    ::raise(signal);
    return;
  }
  while (told.test_and_set()) ::pause();  // another thread is about to end the process
  const std::string_view path = mapped_file_at(reinterpret_cast<uintptr_t>(about->si_addr));
  say("aviary: ");
  say(path.empty() ? "a file" : path);
  say(": it was cut short while it was in use, or its disk cannot be read; start again when it is "
      "complete\n");
  ::_exit(1);
}

}  // namespace

void tell_lost_pages() {
  struct sigaction action = {};
  action.sa_sigaction = tell;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace aviary::platform
