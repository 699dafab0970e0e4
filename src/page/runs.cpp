#include "page/runs.h"

#include <algorithm>
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

}  // namespace

Runs::Runs(std::vector<fs::path> places) : places_(std::move(places)) {}

std::vector<WatchedRun> Runs::list() {
  std::vector<std::pair<fs::file_time_type, fs::path>> found;
  for (const fs::path& place : places_) {
    if (looks_like_run(place)) {
      found.emplace_back(changed(place), place);
      continue;
    }
    std::error_code error;
    for (fs::directory_iterator at(place, error), end; !error && at != end; at.increment(error))
      if (looks_like_run(at->path())) found.emplace_back(changed(at->path()), at->path());
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  if (found.size() > most_runs) found.resize(most_runs);
  const std::lock_guard lock(mutex_);
  std::vector<WatchedRun> runs;
  for (const auto& [time, folder] : found) {
    const auto [at, is_new] = ids_.emplace(folder, std::ssize(entries_));
    if (is_new) entries_.emplace_back(folder);
    const fs::path plain = folder.lexically_normal();
    const fs::path name = plain.filename().empty() ? plain.parent_path().filename() : plain.filename();
    runs.push_back({.id = at->second, .name = name.string(), .folder = folder});
  }
  return runs;
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

}  // namespace aviary
