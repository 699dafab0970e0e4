// The states that a server keeps because a client asked for it, as objects with an id.
#pragma once

#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "serve/service.h"
#include "states/snapshot_file.h"

namespace aviary {

struct ShelfOptions {
  int64_t bytes = int64_t{1} << 30;                   // limit on all states
  int64_t states = 10'000;                            // and on their number
  std::filesystem::path folder = {};                  // keeps them across restarts; empty: nowhere
  std::function<void(const std::string&)> tell = {};  // what is wrong with a file there, a sentence
};

using StoredSnapshotPtr = std::shared_ptr<const StoredSnapshot>;

// Stored states of any model. Each belongs to a key space (StoredSnapshot::space), and others do not see it.
// Where there is no room, the key space with the most bytes loses the state that was not used for longest.
// Thread-safe; functions throw Error if a file cannot be written or read.
class StateShelf {
 public:
  // Finds the states in the folder, which it creates.
  explicit StateShelf(ShelfOptions options);

  // Keeps it with a new id; its name is taken from the state that had it. Throws Error if it is larger than
  // the limit.
  KeptState put(StoredSnapshot stored);
  // Of a key space, the last used first.
  std::vector<KeptState> list(const std::string& space) const;
  // By id, or by name.
  std::optional<KeptState> find(const std::string& space, const std::string& state) const;
  // The state for a model. Nothing if it is not there; throws Error also if it is of another model.
  StoredSnapshotPtr load(const std::string& space, const std::string& state,
                         const std::shared_ptr<const StateLayout>& layout, const SnapshotMaker& maker);
  // Its file. Nothing if it is not there.
  std::optional<std::string> file(const std::string& space, const std::string& state);
  bool erase(const std::string& space, const std::string& state);

 private:
  struct Entry {
    KeptState info = {};
    std::string space = {};
    StoredSnapshotPtr stored = {};  // null: only in its file
  };
  using Entries = std::list<Entry>;  // the last used first

  std::filesystem::path path_of(const std::string& id) const;
  void restore();
  Entries::const_iterator at(const std::string& space, const std::string& state) const;
  // What list() and others find is used now.
  Entry* use(const std::string& space, const std::string& state);
  void make_room();
  void drop(Entries::const_iterator entry);

  const ShelfOptions options_;
  mutable std::mutex mutex_;  // guards the rest
  Entries entries_;
  int64_t bytes_ = 0;
};

// The file that has these bytes. Throws Error if it is no snapshot.
TensorFile snapshot_of_bytes(const std::string& bytes);

}  // namespace aviary
