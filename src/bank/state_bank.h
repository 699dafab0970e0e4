// A bank of states: documents that a model has read, from which the one that fits a question is chosen.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/run.h"
#include "states/snapshot_file.h"

namespace aviary {

struct BankEntry {
  std::string name = {};       // unique in its bank
  std::string beginning = {};  // of the text, for lists
  int64_t tokens = 0;
  int64_t bytes = 0;                  // of the state's file
  int64_t created = 0;                // seconds since 1970
  std::vector<float> embedding = {};  // of the text, of length 1
  std::filesystem::path file = {};    // the state after the text (states/snapshot_file.h)
};

// A folder with a database (SQLite), bank.sqlite, and a file for each state. All states are of one model.
// After a crash a state is there or not; a file of a state that the database does not name is of no use and
// does no harm. Two processes may use a bank at the same time.
class StateBank {
 public:
  // Whether a folder holds a bank.
  static bool is_bank(const std::filesystem::path& folder);

  enum class Access : uint8_t { read, change };
  // Opens the bank; with `change`, creates it where there is none. Throws Error if there is none, if the
  // database is damaged, is of something else, or of a newer format.
  StateBank(std::filesystem::path folder, Access access);
  ~StateBank();
  StateBank(const StateBank&) = delete;
  StateBank& operator=(const StateBank&) = delete;

  // Throws Error unless the states of the bank were made by `maker`. An empty bank is of any model.
  void require_made_by(const SnapshotMaker& maker) const;
  // Adds the state after a text. Throws Error if the name is empty or taken, or if the model is another one
  // than that of the bank.
  void add(const std::string& name, std::string_view text, const StoredSnapshot& stored,
           std::span<const float> embedding);
  // Throws Error naming the bank if there is no such state.
  void remove(const std::string& name);
  // By name. Throws Error if an entry is not what was written.
  std::vector<BankEntry> entries() const;

 private:
  class Database;
  std::filesystem::path folder_;
  std::unique_ptr<Database> database_;
};

// For each entry, the product of its embedding and `vector`: the cosine, as both have length 1. 0 for an
// entry with an embedding of another length.
std::vector<double> similarities(std::span<const BankEntry> entries, std::span<const float> vector);

// For each state, the mean of ln p over `tokens` when they follow it: how well its text explains them. All
// are read in one batch; the states stay as they are. Throws Error for a state without logits.
std::vector<double> log_likelihoods(Runner& runner, std::span<const StoredSnapshot> stored,
                                    std::span<const int32_t> tokens);

}  // namespace aviary
