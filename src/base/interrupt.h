// Ctrl-C as a request to stop at the next safe point.
#pragma once

#include "base/platform.h"

namespace aviary {

// Thrown to abandon the current work; the program then ends with exit code 130.
struct Interrupted {};

// While a guard exists, the first SIGINT or SIGTERM only sets a flag, and the second ends the process
// immediately with exit code 128 + signal (130 for Ctrl-C). The previous handlers are restored when the guard
// is destroyed. Guards may be nested (they share the flag); create and destroy them on the main thread.
// System calls interrupted by the signal are restarted (SA_RESTART).
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

}  // namespace aviary
