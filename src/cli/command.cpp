#include "cli/command.h"

#include <cstdio>

#include "base/error.h"
#include "cli/cli.h"

namespace aviary::cli {

void flush_output() {
  require(std::fflush(stdout) == 0 && !std::ferror(stdout),
          "the output cannot be written (is the disk full, or its reader gone?)");
}

std::vector<Command>& Registration::registered() {
  static std::vector<Command> commands;  // created by the first Registration, in whichever file that is
  return commands;
}

}  // namespace aviary::cli
