// The effect of quantization: both models read a text, and the difference in their predictions is measured.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "models/run.h"
#include "quant/plan.h"

namespace aviary {

// Compares two models on one text, token by token; p is the distribution of the original, q that of the
// quantized model.
struct ModelComparison {
  int64_t tokens = 0;                                  // predicted ones
  double original_loss = 0, quantized_loss = 0;        // nats per token
  double mean_divergence = 0, largest_divergence = 0;  // KL(p || q) in nats
  double same_choice = 0;  // share of tokens for which both models have the same most probable token
  bool finite = true;      // false: the quantized model's logits are not finite, and nothing above is valid

  double original_perplexity() const;
  double quantized_perplexity() const;
};

// Both models read the tokens once, in chunks, with the state carried. Stops early if `progress`, called with
// the number of tokens done, returns false. Throws Error for fewer than two tokens, models with different
// vocabularies, and an original whose logits are not finite.
ModelComparison compare_quantized(Runner& original, Runner& quantized, std::span<const int32_t> tokens,
                                  const std::function<bool(int64_t)>& progress = {});

// A sentence if the plan or the comparison (null: not made) shows that the quantized model is unusable:
// numbers that are not finite, a tensor whose numbers all became zero, or a mean divergence above
// `largest_useful_divergence`. Empty if there is no problem.
inline constexpr double largest_useful_divergence = 0.5;
std::string why_broken(const QuantizationPlan& plan, const ModelComparison* comparison = nullptr);

// Type, error and reason of every tensor, and the comparison: for the metadata of the file.
std::string to_json(const QuantizationPlan& plan, const ModelComparison* comparison = nullptr);

}  // namespace aviary
