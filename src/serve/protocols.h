// The protocols of OpenAI and llama.cpp; each adds its routes to a router.
#pragma once

#include "serve/router.h"

namespace aviary {

// Chats, completions, embeddings and models as OpenAI's clients ask for them, with and without /v1.
void add_openai(Router& router);
// What llama.cpp's server has besides: /completion, /tokenize, /props, /slots, /health, /metrics and others.
void add_llama(Router& router);

}  // namespace aviary
