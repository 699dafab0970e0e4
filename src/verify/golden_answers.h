// Comparison of a trained model with the answers of the original code, with the same model, to a set of
// exercises.
#pragma once

#include <filesystem>
#include <vector>

#include "formats/tensor_file.h"
#include "verify/laws.h"

namespace aviary {

// Golden data with `src` [N, T] (exercises with their answers, byte tokens), `argmax` [N, T - 1] (the
// prediction of the original at every token) and the logits of some of them: every prediction must be the
// same, logits must be within 1e-4 of the largest. `folder` contains the model and config.json with the
// number of correct digits.
std::vector<LawCheck> check_golden_answers(const std::filesystem::path& folder, const TensorFile& golden);

}  // namespace aviary
