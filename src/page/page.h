// The page that people look at: its files, and the requests that only it sends.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "page/runs.h"
#include "serve/local_service.h"
#include "serve/router.h"

namespace aviary {

// Serves the page at / and its files below /page/. Programs that ask for no page are told at / what ollama's
// clients look for. To be called before add_ollama().
void add_page(Router& router);
// GET /v1/aviary/about. has_runs: whether add_runs() was called.
void add_about(Router& router, bool has_runs);
// GET /v1/aviary/runs, /runs/{run}/log and /runs/{run}/samples.
void add_runs(Router& router, std::shared_ptr<Runs> runs);

}  // namespace aviary
