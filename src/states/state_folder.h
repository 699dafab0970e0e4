// A folder that keeps the snapshots of a cache beyond the end of the process.
#pragma once

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "states/snapshot_file.h"

namespace aviary {

// One file per snapshot, written by a thread of its own, each atomically: after a crash a file is complete or
// absent. Files of several models may be in the same folder; each is used only by the model that made it.
class StateFolder {
 public:
  // Creates the folder. Files of this maker beyond `bytes` are removed, those written first first. `tell` is
  // called, on any thread, with a sentence about a file that was damaged or could not be written.
  StateFolder(std::filesystem::path folder, SnapshotMaker maker, std::shared_ptr<const StateLayout> layout,
              int64_t bytes, std::function<void(const std::string&)> tell = {});
  // Writes what is waiting.
  ~StateFolder();
  StateFolder(const StateFolder&) = delete;
  StateFolder& operator=(const StateFolder&) = delete;

  // Gives the cache the snapshots in the folder, the last written first, as many as it has room for. Each is
  // verified; damaged files are removed.
  void restore(StateCache& cache);
  // Writes the snapshot later, unless too many wait already.
  void save(std::string space, std::vector<int32_t> tokens, SnapshotPtr snapshot);

 private:
  struct Waiting {
    std::string space;
    std::vector<int32_t> tokens;
    SnapshotPtr snapshot;
  };
  void run();
  void write(Waiting waiting);
  // Removes files until those of this maker have at most bytes_.
  void prune();
  void tell(const std::string& sentence) const;
  std::vector<std::filesystem::path> files() const;  // of this maker, those written last first

  const std::filesystem::path folder_;
  const SnapshotMaker maker_;
  const std::shared_ptr<const StateLayout> layout_;
  const int64_t bytes_;
  const std::function<void(const std::string&)> tell_;
  int64_t written_bytes_ = 0;

  std::mutex mutex_;
  std::condition_variable work_;
  bool ending_ = false;
  std::deque<Waiting> waiting_;
  std::thread thread_;
};

}  // namespace aviary
