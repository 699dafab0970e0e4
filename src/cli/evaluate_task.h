// aviary evaluate --task and --against.
#pragma once

#include <string>

#include "cli/cli.h"

namespace aviary::cli {

struct TaskFlags {
  std::string task, against, out;
  int64_t limit = 0, length = 0, sequences = 20;
  uint64_t seed = 1;
  void add_to(CLI::App& command);
};

int evaluate_task(const TaskFlags& flags, const ModelFlags& model, const BeginFlags& begin,
                  const std::string& file, bool json);

}  // namespace aviary::cli
