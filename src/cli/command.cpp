#include "cli/command.h"

namespace aviary::cli {

std::vector<Command>& Registration::registered() {
  static std::vector<Command> commands;  // created by the first Registration, in whichever file that is
  return commands;
}

}  // namespace aviary::cli
