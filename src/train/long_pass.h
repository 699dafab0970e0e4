// Gradients of sequences of any length, in the memory of a few hundred tokens.
#pragma once

#include "data/batch_source.h"
#include "models/run.h"

namespace aviary {

// How a pass over long sequences is divided.
struct LongPass {
  int64_t chunk = 512;  // tokens of each sequence that are computed at once
  // Bytes of states between chunks that are kept; where all are more, some of them are computed again.
  int64_t most_states = int64_t{256} << 20;

  // Number of chunks of the longest sequence.
  int64_t chunks(const Sequences& sequences) const;
  // Every how many chunks a state is kept: the fewest with which the kept ones, and those between two of
  // them, fit into most_states, or about the square root of the number of chunks, which keeps the least.
  int64_t stride(const Sequences& sequences, int64_t state_bytes) const;
};

// Like Runner::loss_and_gradients for the whole batch, and with the same result within rounding: the
// sequences are read once without the tape, keeping states between chunks, and then chunk by chunk from the
// last to the first, passing the gradient by the state on to the chunk before (exact backpropagation through
// time). Each token is read twice; with a stride of n, n - 1 of n tokens are read three times. With
// training.first_state the gradient by the first states is that of the runner afterwards. Not with dropout,
// nor for models whose state grows with the text; training.last_state is not used.
double long_loss_and_gradients(Runner& runner, const Batch& batch, std::vector<State>& states,
                               const Runner::Training& training, const LongPass& pass);

}  // namespace aviary
