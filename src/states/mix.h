// States of several texts in one: their weighted sum.
#pragma once

#include <span>

#include "states/snapshot_file.h"

namespace aviary {

struct MixPart {
  const StoredSnapshot* stored = nullptr;
  double weight = 1;
};

// The memories of RWKV-2 to RWKV-7 are sums over the tokens that were read, so a weighted sum of the memories
// of texts that were read apart is one that holds all of them (State Soup, arXiv 2406.08423). RWKV-4 divides
// by a sum of weights and so takes a mean by itself; the others add. `mean`: the weights are divided by their
// sum. Token shifts, which are rows of the last token, are those of the last part; so are the tokens that
// were not read yet, while those of other parts are left out. The tokens of the result are those of all
// parts, one text after another. One part with weight 1 gives the same bits.
//
// Throws Error if there is no part, if the parts are not of the same model, if a weight is 0 or not finite
// (or negative, for RWKV-4), if `mean` and the sum of the weights is 0, and for a model whose state is not
// such a sum: it keeps a row for every token.
StoredSnapshot mixed(std::span<const MixPart> parts, bool mean);

// The part of these checks that does not concern weights: that the states are of one model, and are sums.
void require_sums(std::span<const MixPart> parts);

}  // namespace aviary
