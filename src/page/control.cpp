#include "page/control.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "page/child.h"
#include "page/file_end.h"
#include "serve/service.h"
#include "train/run_folder.h"
#include "train/trainer.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

constexpr const char *output_file = "output.log", *plan_file = "plan.txt", *rows_file = "rows.jsonl";
constexpr int64_t most_output = 16 << 10;  // bytes of what is shown
constexpr int most_folders = 10'000;
constexpr std::chrono::milliseconds between_looks{200};

// A name for a folder: letters, digits, dashes and dots of the name of a file.
std::string plain_name(std::string_view file) {
  file = file.substr(file.find_last_of("/\\") + 1);
  file = file.substr(0, file.rfind('.'));
  std::string name;
  constexpr size_t longest = 60;
  for (const char c : file.substr(0, longest)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (plain || (c == '.' && !name.empty()))
      name += c;
    else if (!name.empty() && name.back() != '-')
      name += '-';
  }
  while (name.ends_with('-') || name.ends_with('.')) name.pop_back();
  return name.empty() ? "tuned" : name;
}

// A new folder that nobody else has.
fs::path new_folder(const fs::path& place, const std::string& name) {
  make_folders(place);
  for (int number = 1; number < most_folders; ++number) {
    const fs::path folder = place / (number == 1 ? name : fmt::format("{}-{}", name, number));
    std::error_code error;
    if (fs::create_directory(folder, error)) return folder;
    require(!error || error == std::errc::file_exists, "{}: cannot be made: {}", folder.string(),
            error.message());
  }
  fail("{}: there are too many folders of this name", (place / name).string());
}

// Errors of files and settings, as sentences for the one who asked.
template <typename Work>
auto or_refuse(Work work) {
  try {
    return work();
  } catch (const Error& error) {
    refuse_wish(error.what());
  }
}

}  // namespace

RunStanding standing_of(const fs::path& run) { return {.running = platform::lock_holder(run) != 0}; }

std::string output_of(const fs::path& run, int64_t bytes) { return end_of_file(run / output_file, bytes); }

Control::Control(ControlOptions options) : options_(std::move(options)), reaper_([this] { reap(); }) {}

Control::~Control() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    remove_draft();
  }
  end_.notify_all();
  reaper_.join();
}

// What has ended is released by the system only when somebody asks how; the page may be closed.
void Control::reap() {
  std::unique_lock lock(mutex_);
  while (!end_.wait_for(lock, between_looks, [this] { return ending_; })) {
    for (auto& [run, child] : children_) look_after(run, child);
    look_at_plan();
  }
}

void Control::look_after(const fs::path& run, Child& child) {
  if (!child.process) return;
  const std::optional<int> code = child.process->exit_code();
  if (!code) return;
  if (*code != 0 && !(child.stopping || *code == after_ctrl_c))
    child.problem = why_ended(end_of_file(run / output_file, most_output), *code);
  child.process.reset();
  child.stopping = false;
}

RunStanding Control::standing_now(const fs::path& run) {
  const int64_t holder = platform::lock_holder(run);
  const auto asked = asked_.find(run);
  RunStanding standing{.running = holder != 0, .stopping = asked != asked_.end() && asked->second == holder};
  const auto child = children_.find(run);
  if (child == children_.end()) return standing;
  look_after(run, child->second);
  if (child->second.process) standing = {.running = true, .stopping = child->second.stopping};
  if (!standing.running) standing.problem = child->second.problem;
  return standing;
}

RunStanding Control::standing(const fs::path& run) {
  const std::lock_guard lock(mutex_);
  return standing_now(run);
}

void Control::stop(const fs::path& run) {
  const std::lock_guard lock(mutex_);
  const RunStanding standing = standing_now(run);
  if (standing.stopping) return;
  if (!standing.running) refuse_wish("nobody trains in the folder of this run", "run_stopped");
  const auto child = children_.find(run);
  if (child != children_.end() && child->second.process) {
    child->second.stopping = true;
    child->second.process->interrupt();
    return;
  }
  const int64_t holder = platform::lock_holder(run);
  if (!platform::interrupt_process(holder))
    refuse_wish(
        "the run is trained by a process that this one may not stop: that of another user or container");
  asked_[run] = holder;
}

void Control::start(const fs::path& run, const std::vector<std::string>& command) {
  children_[run] = {.process = started(options_.program, command, run / output_file)};
}

void Control::resume(const fs::path& run, std::optional<int64_t> steps) {
  const std::lock_guard lock(mutex_);
  if (standing_now(run).running) refuse_wish("the run is being trained already", "run_trains");
  if (!is_run(run)) refuse_wish("the run was stopped before its first checkpoint; begin it anew");
  const bool tunes = or_refuse([&] { return read_run_config(run).tuning.of_model(); });
  std::vector<std::string> command{tunes ? "tune" : "train", "--resume", fs::absolute(run).string()};
  if (steps) command.insert(command.end(), {"--steps", fmt::format("{}", *steps)});
  start(run, command);
}

TuneDraft Control::plan(const TuneWish& wish) {
  const std::lock_guard lock(mutex_);
  if (options_.new_runs.empty())
    refuse_wish("this server shows single runs, and no folder of runs in which another could begin");
  if (wish.rows.find_first_not_of(" \t\r\n") == std::string::npos) refuse_wish("the file has no rows");
  if (std::ssize(wish.rows) > most_bytes)
    fail_task(TaskError::Kind::too_large,
              fmt::format("the file has more than {} MiB; start aviary tune on the command line",
                          most_bytes >> 20));
  remove_draft();
  const fs::path folder = or_refuse([&] { return new_folder(options_.new_runs, plain_name(wish.name)); });
  const fs::path rows = folder / rows_file;
  std::vector<std::string> command{"tune", fs::absolute(wish.base).string(), fs::absolute(rows).string(),
                                   "--out", fs::absolute(folder).string()};
  command.insert(command.end(), wish.settings.begin(), wish.settings.end());
  planned_.emplace(Planned{.draft = {.id = ++drafts_, .folder = folder}, .command = command, .process = {}});
  try {
    or_refuse([&] { write_file_atomically(rows, wish.rows); });
    command.emplace_back("--plan");
    planned_->process = started(options_.program, command, folder / plan_file);
  } catch (...) {
    remove_draft();
    throw;
  }
  return planned_->draft;
}

void Control::look_at_plan() {
  if (!planned_ || planned_->draft.state != TuneDraft::State::planning) return;
  const std::optional<int> code = planned_->process.exit_code();
  if (!code) return;
  TuneDraft& draft = planned_->draft;
  draft.text = end_of_file(draft.folder / plan_file, most_output);
  draft.state = *code == 0 ? TuneDraft::State::ready : TuneDraft::State::refused;
  if (*code != 0 && draft.text.empty())
    draft.text = fmt::format("the plan ended with the exit code {}", *code);
}

Control::Planned& Control::planned(int64_t id) {
  if (!planned_ || planned_->draft.id != id)
    fail_task(TaskError::Kind::not_found, "there is no such draft of a run; plan it again", "draft",
              "draft_not_found");
  look_at_plan();
  return *planned_;
}

TuneDraft Control::draft(int64_t id) {
  const std::lock_guard lock(mutex_);
  return planned(id).draft;
}

fs::path Control::begin(int64_t id) {
  const std::lock_guard lock(mutex_);
  const Planned& ready = planned(id);
  if (ready.draft.state != TuneDraft::State::ready) refuse_wish("there is no plan of this run yet");
  const fs::path folder = ready.draft.folder;
  std::error_code ignored;
  fs::remove(folder / plan_file, ignored);
  start(folder, ready.command);
  planned_.reset();
  return folder;
}

void Control::give_up(int64_t id) {
  const std::lock_guard lock(mutex_);
  planned(id);
  remove_draft();
}

void Control::remove_draft() {
  if (!planned_) return;
  planned_->process.kill();
  while (planned_->process.id() != 0 && !planned_->process.exit_code())
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::error_code ignored;
  for (const char* name : {plan_file, rows_file}) fs::remove(planned_->draft.folder / name, ignored);
  fs::remove(planned_->draft.folder, ignored);  // if nothing else is in it
  planned_.reset();
}

}  // namespace aviary
