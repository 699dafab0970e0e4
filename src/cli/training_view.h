// The training view of aviary serve and aviary watch.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "page/page.h"

namespace aviary::cli {

// Adds the requests about the runs and studies in these places, and what tells the page that they are there.
// `control`: whether the page may start and stop runs; those that it begins lie in the first place that is no
// run itself. `models`: those of the server, which can be tuned, as those of runs can, converted and
// measured.
std::shared_ptr<Runs> add_training(Router& router, const std::vector<std::filesystem::path>& places,
                                   bool control, std::vector<ModelFile> models);

}  // namespace aviary::cli
