// The state of two texts, from what is known of the first and the tokens of the second.
#pragma once

#include "models/run.h"
#include "states/snapshot_file.h"

namespace aviary {

// Within a head, a text b turns a memory S into S M + S_b: M is the product of its decays (and, in RWKV-7, of
// what its tokens remove), S_b the state after b alone. So the memory of a text a, seen through b as b is
// when it is read alone, is S_a M + S_b (compare PICASO, arXiv 2502.17605, for state-space models). Reading b
// after a differs in one way: there b is read in the light of a, so its keys, values and decays are others,
// except in the first block after the first token.
//
// b is read twice in one batch: alone, and with the memory of a under the inputs of the first reading. Token
// shifts, tokens that were not read yet and the name are those of b, the tokens those of a and b. There are
// no logits. `start`: the state before the first token of each text.
//
// Throws Error if the states are of different models, if the state is not such a sum (as mixed()), and if
// the state of b is not the one after its tokens, as that of a mix is not.
StoredSnapshot composed(Runner& runner, const State& start, const StoredSnapshot& a, const StoredSnapshot& b);

}  // namespace aviary
