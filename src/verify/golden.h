// Comparison with the outputs of the original code: folders of golden data as described in
// tests/golden/README.md.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "verify/laws.h"

namespace aviary {

// Logits, loss, gradients, states, one-token and long runs, token-by-token runs, bf16 parameters and training
// steps, as far as the folder contains them, in float32 and in double precision. Throws Error if the folder
// contains no model or an unsupported one.
std::vector<LawCheck> check_golden(const std::filesystem::path& folder);

// The version whose original code made the reference data in this folder.
std::string golden_version(const std::filesystem::path& folder);

// Compares our initialization with the statistics of the original one in `file` (tests/golden/init); version
// and sizes are recognized from its names and shapes.
std::vector<LawCheck> check_golden_initialization(const std::filesystem::path& file,
                                                  const std::string& recipe);

}  // namespace aviary
