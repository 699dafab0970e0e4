#include "base/interrupt.h"

#include <atomic>
#include <cstdlib>

namespace aviary {
namespace {

constexpr int of_ctrl_c = 2;  // the number of SIGINT

// A signal handler can access only static variables.
std::atomic<int> signalled = 0;  // the number of the first signal; 0: none
int guards = 0;
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may use lock-free atomics only");

// When a terminal is closed, the system and the shell may each send a hang-up: the second one is no demand.
void on_signal(int signal) {
  int none = 0;
  if (!signalled.compare_exchange_strong(none, signal) && !platform::is_hang_up(signal))
    std::_Exit(128 + signal);
}

}  // namespace

InterruptGuard::InterruptGuard() : signals_(on_signal) {
  if (guards++ == 0) signalled = 0;
}

InterruptGuard::~InterruptGuard() { --guards; }

bool InterruptGuard::interrupted() const { return stop_signaled(); }

bool stop_signaled() { return signalled != 0; }

int interrupt_exit_code() { return 128 + (signalled != 0 ? signalled.load() : of_ctrl_c); }

}  // namespace aviary
