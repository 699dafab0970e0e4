#include "cli/runs.h"

#include <aviary/version.h>

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/quotes.h"
#include "cli/ranks.h"
#include "eval/speed.h"

namespace aviary::cli {

namespace fs = std::filesystem;

void require_free(const std::string& out) {
  if (out.empty() || can_begin(out)) return;
  const fs::path folder = out;
  std::string command = "train";
  try {
    if (read_run_config(folder).tuning.of_model()) command = "tune";
  } catch (const Error&) {  // no run
  }
  require(
      !is_run(folder),
      "{}: there is a run already; go on with it (aviary {} --resume {}) or name another folder with --out",
      out, command, path_for_shell(out));
  require(fs::exists(folder) && !fs::is_directory(folder),
          "{}: there are files of something else that a run would write over (config.json, "
          "model.safetensors, adapter.safetensors, state.safetensors, log.jsonl or loss.svg); name another "
          "folder with --out",
          out);
}

RunFolder new_run_folder(const std::string& out, const std::string& name) {
  if (!out.empty()) {
    require_free(out);
    make_folders(out);
    return RunFolder::hold(out);
  }
  for (int number = 1;; ++number) {
    const fs::path folder = fs::path("runs") / (number == 1 ? name : fmt::format("{}-{}", name, number));
    if (!can_begin(folder)) continue;
    make_folders(folder);
    if (std::optional<RunFolder> held = RunFolder::try_hold(folder)) return std::move(*held);
  }
}

void take_steps(Trainer& trainer, std::optional<int64_t> steps, const fs::path& folder) {
  if (!steps) return;
  require(*steps > trainer.steps_done(),
          "--steps is {}, but the run in {} has done {} steps; give the number of all steps, of the old "
          "and the new ones, or leave --steps out",
          *steps, folder.string(), with_commas(trainer.steps_done()));
  trainer.set_steps(*steps);
  write_run_config(folder, trainer.config());
}

void refuse_changes(const CLI::App& command, std::initializer_list<const char*> allowed) {
  for (const CLI::Option* option : command.get_options()) {
    const bool changes_nothing = option->count() == 0 || option->check_name("--resume") ||
                                 std::any_of(allowed.begin(), allowed.end(),
                                             [&](const char* name) { return option->check_name(name); });
    require(
        changes_nothing,
        "{}: --resume goes on with the settings of the run, so {} cannot be given with it (--steps can, and "
        "where the text, the data or the model is now)",
        command.get_name(), option->get_name());
  }
}

void require_same_program(Ranks& ranks) {
  require_same(ranks, "another version of the program", version(), "install the same one on all machines");
  require_same(ranks, "other instructions", kernels::instruction_sets(),
               "they round differently: give all ranks --isa avx2 or --isa baseline, or take the same CPUs");
}

std::string place_of(const Trainer& trainer) {
  const std::string done = with_commas(trainer.steps_done());
  const std::optional<int64_t> steps = trainer.config().schedule.steps;
  return steps ? fmt::format("{} of {}", done, with_commas(*steps)) : done;
}

}  // namespace aviary::cli
