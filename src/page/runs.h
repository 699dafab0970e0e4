// The training runs and studies that the page may show: those in a folder, or some by name.
#pragma once

#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
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

// A folder that `aviary compare` or `aviary sweep` has written.
struct WatchedStudy {
  int64_t id = 0;
  bool is_sweep = false;
  std::string name = {};
  std::filesystem::path folder = {};
};

// Whether a folder is that of a run or of a study, and not one that contains such folders.
bool is_run_or_study(const std::filesystem::path& folder);

// Thread-safe.
class Runs {
 public:
  // Folders of runs or of studies, and folders that contain such folders, which are looked for again each
  // time.
  explicit Runs(std::vector<std::filesystem::path> places);

  // The newest first; at most 200.
  std::vector<WatchedRun> list();
  // By name; at most 200.
  std::vector<WatchedStudy> studies();
  // A study that studies() has named. Throws TaskFailure (not_found).
  WatchedStudy study(int64_t id);
  // From now on a folder in which a run is about to begin is one of list(), too.
  WatchedRun begin(const std::filesystem::path& folder);
  // The number of a run that is part of a study.
  WatchedRun of_study(const std::filesystem::path& folder);
  // The folder of a run that list() has named. Throws TaskFailure (not_found).
  std::filesystem::path folder(int64_t id);
  // The curve of a run, after a bounded piece of its log was read; `known`: which share of the log that is.
  Curve curve(int64_t id, const CurveQuery& query, double& known);
  // The norms of its layers, as far as curve() has read the log.
  LayerNorms layer_norms(int64_t id, const CurveQuery& query);

 private:
  struct Entry {
    explicit Entry(std::filesystem::path where) : folder(std::move(where)), curve(folder / "log.jsonl") {}
    std::filesystem::path folder;
    std::mutex mutex;  // guards the curve
    RunCurve curve;
  };
  Entry& entry(int64_t id);
  WatchedRun named(const std::filesystem::path& folder);  // while the mutex is held

  const std::vector<std::filesystem::path> places_;
  std::mutex mutex_;  // guards these
  std::deque<Entry> entries_;
  std::map<std::filesystem::path, int64_t> ids_;
  std::set<std::filesystem::path> begun_;
  std::vector<WatchedStudy> studies_;
};

}  // namespace aviary
