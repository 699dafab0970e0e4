// aviary data build and aviary data inspect.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace aviary::cli {

// Each adds its options to the command, and returns what runs it.
Action add_data_build(CLI::App& command);
Action add_data_inspect(CLI::App& command);

}  // namespace aviary::cli
