// The page that people look at: its files, and the requests that only it sends.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "page/control.h"
#include "page/model_work.h"
#include "page/runs.h"
#include "serve/local_service.h"
#include "serve/router.h"

namespace aviary {

// Serves the page at / and its files below /page/. Programs that ask for no page are told at / what ollama's
// clients look for. To be called before add_ollama().
void add_page(Router& router);
// GET /v1/aviary/about. has_runs: whether add_runs() was called; has_control: with a Control.
void add_about(Router& router, bool has_runs, bool has_control = false);
// GET /v1/aviary/runs, and of a run /runs/{run}/log, /layers, /samples and /output. Without a Control,
// whether a process trains in a folder is told all the same.
void add_runs(Router& router, std::shared_ptr<Runs> runs, std::shared_ptr<Control> control = nullptr);
// GET /v1/aviary/studies, /studies/{study} and /studies/{study}/positions: comparisons and sweeps.
void add_studies(Router& router, std::shared_ptr<Runs> runs);
// POST /v1/aviary/runs/{run}/stop and /resume, and those of /v1/aviary/tune; without a Control they are
// refused with 403.
void add_control(Router& router, std::shared_ptr<Runs> runs, std::shared_ptr<Control> control);
// GET /v1/aviary/model-work, POST /v1/aviary/model-work/convert, /bench and /stop: what is done with these
// models; without a ModelWork they are refused with 403. `runs`: those beside which nothing is measured while
// they train.
void add_model_work(Router& router, std::shared_ptr<Runs> runs, std::shared_ptr<ModelWork> work,
                    std::vector<ModelFile> models);

}  // namespace aviary
