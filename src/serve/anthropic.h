// Anthropic's Messages: POST /v1/messages and /v1/messages/count_tokens, and the list of models in
// Anthropic's form for requests with the header anthropic-version.
#pragma once

#include <string>

#include "serve/router.h"

namespace aviary {

// {"type":"error","error":{"type","message"},"request_id"}
std::string anthropic_error(const Failure& failure);

}  // namespace aviary
