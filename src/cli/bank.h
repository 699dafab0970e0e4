// aviary state bank, and commands that begin from the state of a bank that fits their text.
#pragma once

#include <string>
#include <string_view>

#include "cli/cli.h"

namespace aviary::cli {

// Adds the subcommand to `state`.
Action add_bank(CLI::App& bank);

// The file of the state in the bank at `folder` after which `text` is most probable, told on stderr unless
// `quiet`. Throws Error if the bank is empty, damaged or of another model, or the text has no token.
std::string best_in_bank(const LoadedModel& loaded, const std::string& folder, std::string_view text,
                         bool quiet);

}  // namespace aviary::cli
