// /v1/states: what a model knows after a text, as an object that can be made, listed, copied and removed.
#pragma once

#include "serve/router.h"

namespace aviary {

// POST /v1/states {model, name, input | messages | from: {state, append}}, /v1/states/mix {parts, method,
// name}; GET /v1/states, /v1/states/{state}, /v1/states/{state}/content; PUT /v1/states/{name}/content;
// DELETE /v1/states/{state}. A state is named by its id or its name. Requests of other protocols begin from
// one with `state`, and return one with `return_state`.
void add_states(Router& router);

}  // namespace aviary
