// Parts of add_llama().
#pragma once

#include "serve/router.h"

namespace aviary {

void add_llama_completion(Router& router);
void add_llama_text(Router& router);    // tokenize, detokenize, apply-template
void add_llama_server(Router& router);  // health, props, slots, metrics, load and unload

}  // namespace aviary
