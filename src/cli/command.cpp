#include "cli/command.h"

namespace aviary::cli {

std::vector<Command>& Registration::registered() {
  static std::vector<Command> commands;  // made by the first Registration, whichever file that is in
  return commands;
}

}  // namespace aviary::cli
