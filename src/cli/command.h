// Each command of the program is one file of this folder, which adds itself to the command line by defining a
// Registration.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <vector>

namespace aviary::cli {

// The function to run for the command; the result is the exit code.
using Action = std::function<int()>;

// The groups of `aviary --help`, in this order.
enum class CommandGroup : uint8_t { first, files, text, study };

struct Command {
  const char* name;
  CommandGroup group;
  int place;                         // within the group
  const char* help;                  // one line
  Action (*add)(CLI::App& command);  // adds the command's flags
};

struct Registration {
  explicit Registration(const Command& command) { registered().push_back(command); }
  // All commands, in unspecified order.
  static std::vector<Command>& registered();
};

}  // namespace aviary::cli
