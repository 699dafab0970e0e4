// The protocols of OpenAI and llama.cpp; each adds its routes to a router.
#pragma once

#include "serve/router.h"

namespace aviary {

// Chats, completions, embeddings and models as OpenAI's clients ask for them, with and without /v1.
void add_openai(Router& router);
// Anthropic's Messages, and its list of models for requests with the header anthropic-version.
void add_anthropic(Router& router);
// OpenAI's Responses, stored in memory.
void add_responses(Router& router);
// What llama.cpp's server has besides: /completion, /tokenize, /props, /slots, /health, /metrics and others.
void add_llama(Router& router);

}  // namespace aviary
