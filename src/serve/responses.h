// OpenAI's Responses: POST /v1/responses, what is stored of them (GET, DELETE, /cancel, /input_items), and
// POST /v1/responses/input_tokens.
#pragma once

#include <memory>

#include "serve/response_store.h"
#include "serve/router.h"

namespace aviary {

// The same as add_responses() of serve/protocols.h with a store of its own limits.
void add_responses(Router& router, std::shared_ptr<ResponseStore> store);

}  // namespace aviary
