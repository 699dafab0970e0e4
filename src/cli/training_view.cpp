#include "cli/training_view.h"

#include <algorithm>

#include "base/platform.h"

namespace aviary::cli {

namespace fs = std::filesystem;

std::shared_ptr<Runs> add_training(Router& router, const std::vector<fs::path>& places, bool control,
                                   std::vector<ModelFile> models) {
  const auto runs = std::make_shared<Runs>(places);
  std::shared_ptr<Control> controlling;
  std::shared_ptr<ModelWork> work;
  if (control) {
    const auto place =
        std::find_if(places.begin(), places.end(), [](const fs::path& one) { return !is_run_or_study(one); });
    controlling =
        std::make_shared<Control>(ControlOptions{.program = platform::program_file(),
                                                 .new_runs = place == places.end() ? fs::path() : *place,
                                                 .models = models});
    work = std::make_shared<ModelWork>(platform::program_file());
  }
  add_about(router, true, control);
  add_runs(router, runs, controlling);
  add_studies(router, runs);
  add_control(router, runs, controlling);
  add_model_work(router, runs, work, std::move(models));
  return runs;
}

}  // namespace aviary::cli
