#include "base/interrupt.h"

#include <atomic>
#include <cstdlib>

namespace aviary {
namespace {

// A signal handler can access only static variables.
std::atomic<bool> signalled = false;
int guards = 0;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may use lock-free atomics only");

void on_signal(int signal) {
  if (signalled.exchange(true)) std::_Exit(128 + signal);
}

}  // namespace

InterruptGuard::InterruptGuard() : signals_(on_signal) {
  if (guards++ == 0) signalled = false;
}

InterruptGuard::~InterruptGuard() { --guards; }

bool InterruptGuard::interrupted() const { return signalled; }

}  // namespace aviary
