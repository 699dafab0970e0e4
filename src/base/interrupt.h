// Ctrl-C as a request to stop at the next good place.
#pragma once

#include "base/platform.h"

namespace aviary {

// Thrown to give up what is being done; the program ends with exit code 130.
struct Interrupted {};

// While a guard lives, the first SIGINT or SIGTERM only sets a flag, and the second ends the process at once
// with exit code 128 + signal (130 for Ctrl-C). The old handlers come back when the guard is destroyed.
// Guards may be nested (the flag is theirs together); create and destroy them on the main thread. System
// calls that the signal interrupts go on (SA_RESTART).
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  // Was there a signal since the outermost guard was created? May be called from any thread.
  bool interrupted() const;

 private:
  platform::StopSignals signals_;
};

}  // namespace aviary
