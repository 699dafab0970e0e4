// Comparison with the outputs of the original code: a folder of reference data as tests/golden/README.md
// describes it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "verify/laws.h"

namespace aviary {

// Logits, loss, gradients, states, one-token and long runs, token-by-token runs, bf16 parameters and training
// steps, whatever of these the folder holds, in float32 and in double. Throws Error when the folder holds no
// model or one that is not supported.
std::vector<LawCheck> check_golden(const std::filesystem::path& folder);

// The version whose original code made the reference data in this folder.
std::string golden_version(const std::filesystem::path& folder);

// Compares our initialization with the statistics of the original one in `file` (tests/golden/init), whose
// names and shapes tell the version and its sizes.
std::vector<LawCheck> check_golden_initialization(const std::filesystem::path& file,
                                                  const std::string& recipe);

}  // namespace aviary
