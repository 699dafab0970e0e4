#include "base/interrupt.h"

#include <unistd.h>

#include <atomic>

namespace aviary {
namespace {

// A signal handler can reach only statics.
std::atomic<bool> signalled = false;
int guards = 0;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may use lock-free atomics only");

void on_signal(int signal) {
  if (signalled.exchange(true)) _exit(128 + signal);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  if (guards++ == 0) signalled = false;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &old_int_);
  sigaction(SIGTERM, &action, &old_term_);
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGTERM, &old_term_, nullptr);
  sigaction(SIGINT, &old_int_, nullptr);
  --guards;
}

bool InterruptGuard::interrupted() const { return signalled; }

}  // namespace aviary
