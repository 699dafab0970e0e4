// Ctrl-C, `kill` and a closed terminal as requests to stop at the next safe point.
#pragma once

#include "base/platform.h"

namespace aviary {

// Thrown to abandon the current work; the program then ends with interrupt_exit_code().
struct Interrupted {};

// While a guard exists, the first SIGINT, SIGTERM, SIGUSR1 or SIGHUP only sets a flag; a further one but
// SIGHUP ends the process immediately with exit code 128 + signal (130 for Ctrl-C). A SIGHUP that was ignored
// before (nohup) remains ignored. SIGQUIT (Ctrl-\) is not handled: it ends the process at once, with a core
// dump. The previous handlers are restored when the guard is destroyed. Guards may be nested (they share the
// flag); create and destroy them on the main thread. System calls interrupted by the signal are restarted
// (SA_RESTART).
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  // Whether there was a signal since the outermost guard was created. May be called from any thread.
  bool interrupted() const;

 private:
  platform::StopSignals signals_;
};

// Whether there was a signal since the outermost guard was created; false before the first guard.
bool stop_signaled();

// The exit code of a program that a signal stopped: 128 + the signal of the last guard's first one, 130 for
// Ctrl-C, 143 for SIGTERM, 129 for SIGHUP; 130 if there was none.
int interrupt_exit_code();

}  // namespace aviary
