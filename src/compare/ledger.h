// The record of a comparison in its folder: requested settings, the chosen number of steps, and the speed of
// each member.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "train/config.h"

namespace aviary {

// Measured with a few steps before training starts.
struct MemberPlan {
  int64_t parameters = 0;
  int64_t training_bytes = 0;  // peak memory of the process during these steps; 0: unknown
  double tokens_per_second = 0;
};

struct Ledger {
  std::string asked;  // JSON: the settings of all members, as given
  int64_t steps = 0;  // of every member; 0: not chosen yet
  std::map<std::string, MemberPlan> plans;
};

// compare.json of the folder, or nothing if there is none. Throws Error if it is damaged.
std::optional<Ledger> read_ledger(const std::filesystem::path& folder);
void write_ledger(const std::filesystem::path& folder, const Ledger& ledger);

// The value of Ledger::asked for these settings.
std::string asked_of(const TrainConfig& shared, bool own_recipes);
// Converts Ledger::asked of an older program to the present form. Throws Error if that is not possible.
std::string asked_by_this_program(const std::string& asked, const std::string& where);
// The first setting in which two JSON objects differ, such as "width is 64 there and 128 here"; empty if they
// are equal. The path of the text is ignored, its content is compared.
std::string difference(const std::string& there, const std::string& here);

}  // namespace aviary
