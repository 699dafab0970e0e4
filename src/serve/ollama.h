// The protocol of ollama: newline-delimited JSON, streaming unless a request says otherwise.
//
// Other than there: repeat_penalty is 1 unless a request says otherwise; min_p is computed before the
// temperature; models are not pulled, created or deleted; `context` is a list of numbers that holds the
// conversation itself; `state` and `return_state` as in the other protocols.
#pragma once

#include "serve/router.h"

namespace aviary {

// /, /api/version, tags, ps, show, chat, generate, embed, embeddings and pull; 501 for what manages models.
void add_ollama(Router& router);

}  // namespace aviary
