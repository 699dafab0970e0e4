// Comparison of a trained model with the answers that the original code gives with it on a set of exercises.
#pragma once

#include <filesystem>
#include <vector>

#include "formats/tensor_file.h"
#include "verify/laws.h"

namespace aviary {

// Reference data with `src` [N, T] (exercises with their answers, byte tokens), `argmax` [N, T - 1] (what the
// original predicts at every token) and the logits of some of them: every prediction has to be the same,
// logits within 1e-4 of the largest. `folder` holds the model and config.json with the number of right
// digits.
std::vector<LawCheck> check_golden_answers(const std::filesystem::path& folder, const TensorFile& golden);

}  // namespace aviary
