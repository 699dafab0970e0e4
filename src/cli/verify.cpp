// aviary verify: checks the split law on a model, or compares it with golden data of the original code.
#include <fmt/format.h>

#include "base/error.h"
#include "cli/cli.h"
#include "verify/golden.h"
#include "verify/laws.h"

namespace aviary::cli {
namespace {

struct VerifyFlags {
  ModelFlags model;
  std::vector<std::string> golden;
  int64_t length = 100;
  uint64_t seed = 1;
};

// Prints a table; true when all passed.
bool report(const std::vector<LawCheck>& checks) {
  bool good = true;
  for (const LawCheck& check : checks) {
    fmt::print("  {:<4} {:>10.2e}  (allowed {:.0e})  {}\n", check.passed() ? "ok" : "FAIL", check.difference,
               check.tolerance, check.what);
    good = good && check.passed();
  }
  return good;
}

int verify(const VerifyFlags& flags) {
  bool good = true;
  if (flags.golden.empty()) {
    LoadedModel loaded = flags.model.load();
    Runner runner(*loaded.model);
    fmt::print("{}: largest difference to one pass over {} random tokens\n", loaded.path.string(),
               flags.length);
    good = report(check_split_law(runner, flags.length, flags.seed));
  }
  for (const std::string& folder : flags.golden) {
    fmt::print("{}: largest difference to the original code\n", folder);
    good = report(check_golden(folder)) && good;
  }
  fmt::print("{}\n", good ? "All agree." : "Some differ by more than allowed.");
  return good ? 0 : 1;
}

Action add_verify(CLI::App& command) {
  auto flags = std::make_shared<VerifyFlags>();
  flags->model.add_to(command);
  command.add_option(
      "--golden", flags->golden,
      "Compare with the reference data in this folder, tests/golden/README.md; may be repeated "
      "(default: none, the model is checked)");
  command.add_option("--length", flags->length, "Read so many random tokens")
      ->check(bounds(1, 1 << 20))
      ->capture_default_str();
  command.add_option("--seed", flags->seed, "Seed of the tokens and of where they are cut; random: draw one")
      ->capture_default_str();
  return [flags, &command] {
    ModelFlags::refuse_beside(command, "--golden");
    refuse_beside(command, "--golden", {"--length", "--seed", "--precision"});
    return verify(*flags);
  };
}

const Registration verify_command(
    {"verify", CommandGroup::files, 4,
     "Check that a model computes the same however its input is cut; or compare with reference data",
     add_verify});

}  // namespace
}  // namespace aviary::cli
