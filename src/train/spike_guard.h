// Finds out from the losses of a run that it has gone astray.
#pragma once

#include <cstdint>
#include <string>

namespace aviary {

// A run has gone astray when the loss of several steps in a row is far above its moving average: by more than
// a fifth of it and by more than six of its standard deviations. A single step may be so, with an unusual
// batch.
class SpikeGuard {
 public:
  // Takes note of the loss of a step; returns whether the run has gone astray. The average does not follow
  // losses that are far above it, nor ones that are not finite.
  bool note(double loss);

  // Its memory, for checkpoints. Throws Error if the text is none.
  std::string text() const;
  void set(const std::string& text);

 private:
  double mean_ = 0, variance_ = 0;
  int64_t noted_ = 0, high_ = 0;  // losses in all; far above the average in a row
};

}  // namespace aviary
