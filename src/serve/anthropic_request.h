// The body of a request of Anthropic's Messages as a task.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "serve/router.h"
#include "serve/task.h"

namespace aviary {

struct AnthropicRequest {
  ChatTask task = {};
  bool stream = false;
};

// Differences from Anthropic's own service: max_tokens may be missing (the limit of the server counts),
// options of sampling that OpenAI's clients may send are read too, roles need not alternate, and the role
// "system" may stand among the messages. Tools that Anthropic runs itself are left out. Images and documents
// that are not text are refused. The task names the model by its own name. Throws TaskFailure.
AnthropicRequest read_anthropic_request(const nlohmann::ordered_json& body, const Call& call);

}  // namespace aviary
