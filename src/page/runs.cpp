#include "page/runs.h"

#include <algorithm>
#include <optional>
#include <system_error>
#include <utility>

#include "serve/service.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

constexpr size_t most_runs = 200;
constexpr int64_t bytes_at_once = 16 << 20;  // of a log: about a tenth of a second

bool looks_like_run(const fs::path& folder) {
  std::error_code error;
  return fs::is_regular_file(folder / "log.jsonl", error) ||
         fs::is_regular_file(folder / "config.json", error);
}

fs::file_time_type changed(const fs::path& folder) {
  std::error_code error;
  for (const char* name : {"log.jsonl", "config.json"}) {
    const fs::file_time_type time = fs::last_write_time(folder / name, error);
    if (!error) return time;
  }
  return fs::file_time_type::min();
}

std::optional<bool> is_sweep(const fs::path& folder) {
  std::error_code error;
  if (fs::is_regular_file(folder / "compare.json", error)) return false;
  if (fs::is_regular_file(folder / "sweep.csv", error)) return true;
  return {};
}

std::string folder_name_of(const fs::path& folder) {
  const fs::path plain = folder.lexically_normal();
  return (plain.filename().empty() ? plain.parent_path() : plain).filename().string();
}

// The folders in a folder; none if it cannot be read.
std::vector<fs::path> folders_in(const fs::path& place) {
  std::vector<fs::path> folders;
  std::error_code error, none;
  for (fs::directory_iterator at(place, error), end; !error && at != end; at.increment(error))
    if (at->is_directory(none)) folders.push_back(at->path());
  return folders;
}

}  // namespace

bool is_run_or_study(const fs::path& folder) {
  return looks_like_run(folder) || is_sweep(folder).has_value();
}

Runs::Runs(std::vector<fs::path> places) : places_(std::move(places)) {}

std::vector<WatchedRun> Runs::list() {
  std::vector<std::pair<fs::file_time_type, fs::path>> found;
  for (const fs::path& place : places_) {
    if (looks_like_run(place)) {
      found.emplace_back(changed(place), place);
      continue;
    }
    for (const fs::path& folder : folders_in(place))
      if (looks_like_run(folder)) found.emplace_back(changed(folder), folder);
  }
  const std::lock_guard lock(mutex_);
  std::error_code error;
  for (const fs::path& folder : begun_)
    if (!looks_like_run(folder) && fs::is_directory(folder, error))
      found.emplace_back(fs::file_time_type::max(), folder);
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  if (found.size() > most_runs) found.resize(most_runs);
  std::vector<WatchedRun> runs;
  for (const auto& [time, folder] : found) runs.push_back(named(folder));
  return runs;
}

WatchedRun Runs::named(const fs::path& folder) {
  const auto [at, is_new] = ids_.emplace(folder, std::ssize(entries_));
  if (is_new) entries_.emplace_back(folder);
  return {.id = at->second, .name = folder_name_of(folder), .folder = folder};
}

WatchedRun Runs::begin(const fs::path& folder) {
  const std::lock_guard lock(mutex_);
  begun_.insert(folder);
  return named(folder);
}

WatchedRun Runs::of_study(const fs::path& folder) {
  const std::lock_guard lock(mutex_);
  return named(folder);
}

std::vector<WatchedStudy> Runs::studies() {
  std::vector<fs::path> candidates = places_;
  for (const fs::path& place : places_) {
    const std::vector<fs::path> inner = folders_in(place);
    candidates.insert(candidates.end(), inner.begin(), inner.end());
  }
  std::vector<WatchedStudy> found;
  const std::lock_guard lock(mutex_);
  for (const fs::path& folder : candidates) {
    const std::optional<bool> sweep = is_sweep(folder);
    if (!sweep || found.size() == most_runs) continue;
    auto known = std::find_if(studies_.begin(), studies_.end(),
                              [&](const WatchedStudy& one) { return one.folder == folder; });
    if (known == studies_.end())
      known = studies_.insert(known, {std::ssize(studies_), *sweep, folder_name_of(folder), folder});
    known->is_sweep = *sweep;
    found.push_back(*known);
  }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return found;
}

WatchedStudy Runs::study(int64_t id) {
  const std::lock_guard lock(mutex_);
  if (id < 0 || id >= std::ssize(studies_))
    fail_task(TaskError::Kind::not_found, "there is no such study", "study", "study_not_found");
  return studies_[static_cast<size_t>(id)];
}

Runs::Entry& Runs::entry(int64_t id) {
  const std::lock_guard lock(mutex_);
  if (id < 0 || id >= std::ssize(entries_))
    fail_task(TaskError::Kind::not_found, "there is no such run", "run", "run_not_found");
  return entries_[static_cast<size_t>(id)];
}

fs::path Runs::folder(int64_t id) { return entry(id).folder; }

Curve Runs::curve(int64_t id, const CurveQuery& query, double& known) {
  Entry& one = entry(id);
  const std::lock_guard lock(one.mutex);
  known = one.curve.read_on(bytes_at_once);
  return one.curve.curve(query);
}

LayerNorms Runs::layer_norms(int64_t id, const CurveQuery& query) {
  Entry& one = entry(id);
  const std::lock_guard lock(one.mutex);
  return one.curve.layer_norms(query);
}

}  // namespace aviary
