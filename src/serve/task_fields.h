// Fields that mean the same in all protocols: how tokens are drawn, and states.
#pragma once

#include "serve/json_fields.h"
#include "serve/router.h"
#include "serve/task.h"

namespace aviary {

// temperature, top_p, top_k, min_p, top_a, top_a_power, top_p_x, presence_penalty, frequency_penalty,
// penalty_decay, repeat_penalty (also repetition_penalty), repeat_last_n and seed, over what `sampling` says.
// A sampler that does not exist here is refused, unless the request gives the value at which it does nothing.
void read_sampler(const Fields& fields, SamplerOptions& sampling);

// state (an id, a name, or {"id"}), for which the header X-RWKV-State-Id stands where it is absent, and
// return_state (true, false, "id" or "base64").
void read_state(const Call& call, const Fields& fields, TaskOptions& options);

}  // namespace aviary
