// The states of a step: a Var [S, ...] whose part s belongs to sequence s, either in one tensor or each in
// the memory of its State. Operators read and write the parts in place.
#pragma once

#include "ops/context.h"

namespace aviary {

// Addresses of the parts of a state [S, ...]; valid until the arena is reset.
Places places_of(Context& c, const Var& state);

// Part s of a state, or of a tensor in one piece: its axes without the first. Empty for an empty tensor.
Tensor part_of(const Var& state, const Places& places, int64_t s);
Tensor part_of(const Tensor& tensor, int64_t s);

// The state as it is now, to be read after an operator has put the next one in its place.
Var keep(Context& c, const Var& state);

}  // namespace aviary
