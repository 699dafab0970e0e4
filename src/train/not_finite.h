// Where the numbers of a training step stop being finite.
#pragma once

#include <optional>
#include <string>

#include "data/batch_source.h"
#include "models/run.h"
#include "text/tokenizer.h"

namespace aviary {

// In words, for a step whose gradient is not finite: the first tensor in the order of the computation with a
// number that is not: a weight; otherwise the residual stream before or after a block, or what the output
// matrix multiplies, with the token, read from `states`, which change. Nothing if all these are finite: then
// the backward pass makes it.
std::optional<std::string> first_not_finite(Runner& runner, const Batch& batch, StateSpan states,
                                            const Tokenizer& tokenizer);

}  // namespace aviary
