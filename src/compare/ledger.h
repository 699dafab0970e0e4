// What the folder of a comparison remembers: what was asked for, the steps chosen, and how fast each member
// is.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "train/config.h"

namespace aviary {

// Measured by a few steps before the training begins.
struct MemberPlan {
  int64_t parameters = 0;
  int64_t training_bytes = 0;  // the most memory of the process during the steps; 0: unknown
  double tokens_per_second = 0;
};

struct Ledger {
  std::string asked;  // JSON: the settings of all members, as they were given
  int64_t steps = 0;  // of every member; 0: not chosen yet
  std::map<std::string, MemberPlan> plans;
};

// compare.json of the folder, or nothing when there is none. Throws Error when it is damaged.
std::optional<Ledger> read_ledger(const std::filesystem::path& folder);
void write_ledger(const std::filesystem::path& folder, const Ledger& ledger);

// Ledger::asked for settings.
std::string asked_of(const TrainConfig& shared, bool own_recipes);
// What an older program wrote as Ledger::asked, as this one would have. Throws Error for what it does not
// understand.
std::string asked_by_this_program(const std::string& asked, const std::string& where);
// The first setting in which two JSON objects differ, as "width is 64 there and 128 here"; empty when they
// are the same. The place of the text does not count, its content does.
std::string difference(const std::string& there, const std::string& here);

}  // namespace aviary
