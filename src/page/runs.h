// The training runs that the page may show: those in a folder, or some by name.
#pragma once

#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "page/run_curve.h"

namespace aviary {

// A run as the page knows it. It is asked for by its number, never by a path.
struct WatchedRun {
  int64_t id = 0;
  std::string name = {};  // its folder's
  std::filesystem::path folder = {};
};

// Thread-safe.
class Runs {
 public:
  // Folders of runs, and folders that contain folders of runs, which are looked for again each time.
  explicit Runs(std::vector<std::filesystem::path> places);

  // The newest first; at most 200.
  std::vector<WatchedRun> list();
  // The folder of a run that list() has named. Throws TaskFailure (not_found).
  std::filesystem::path folder(int64_t id);
  // The curve of a run, after a bounded piece of its log was read; `known`: which share of the log that is.
  Curve curve(int64_t id, const CurveQuery& query, double& known);

 private:
  struct Entry {
    explicit Entry(std::filesystem::path where) : folder(std::move(where)), curve(folder / "log.jsonl") {}
    std::filesystem::path folder;
    std::mutex mutex;  // guards the curve
    RunCurve curve;
  };
  Entry& entry(int64_t id);

  const std::vector<std::filesystem::path> places_;
  std::mutex mutex_;  // guards these
  std::deque<Entry> entries_;
  std::map<std::filesystem::path, int64_t> ids_;
};

}  // namespace aviary
