// What a sampler does with the next token, step by step; all of it is asked of the sampler itself.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "infer/constraint.h"
#include "infer/sampler.h"

namespace aviary {

struct ExplainedToken {
  int32_t token = 0;
  double model = 0;      // probability, as the model says
  double penalized = 0;  // after the grammar, bias and penalties
  double drawn = 0;      // with which it is drawn; 0: never
  // Whether it is kept by each of these alone.
  bool grammar = true, top_k = true, top_p = true, top_a = true, min_p = true;
};

struct Explanation {
  std::vector<ExplainedToken> tokens;  // the most probable ones by `penalized`, then by `model`
  int64_t kept = 0;                    // tokens that can be drawn
  int64_t kept_by_grammar = 0, kept_by_top_k = 0, kept_by_top_p = 0, kept_by_top_a = 0, kept_by_min_p = 0;
};

// written: tokens that count for the penalties; constraint: may be null. At most `most` tokens are explained,
// of those that can be drawn the most probable ones. Throws the errors of Sampler.
Explanation explain(std::span<const float> logits, const SamplerOptions& options,
                    std::span<const int32_t> written, Constraint* constraint, int64_t most);

}  // namespace aviary
