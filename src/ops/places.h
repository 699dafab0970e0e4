// The states of a step: a Var [S, ...] whose part s is that of sequence s, in one piece or each in the memory
// of its State. Operators read and write the parts where they lie.
#pragma once

#include "ops/context.h"

namespace aviary {

// Where the parts of a state [S, ...] lie; valid until the arena is reset.
Places places_of(Context& c, const Var& state);

// Part s of a state, or of a tensor in one piece: its axes without the first. Empty for an empty tensor.
Tensor part_of(const Var& state, const Places& places, int64_t s);
Tensor part_of(const Tensor& tensor, int64_t s);

// The state as it is now, to be read after an operator has put the next one in its place.
Var keep(Context& c, const Var& state);

}  // namespace aviary
