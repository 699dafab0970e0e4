// The cost of generating a token.
#pragma once

#include <string>

#include "models/model.h"

namespace aviary {

struct TokenCost {
  int64_t multiplications = 0;    // in products, independent of the length of the text
  int64_t of_head = 0;            // those of the output matrix, which a prompt needs only once
  int64_t weight_bytes = 0;       // read: all weights except embedding tables
  int64_t per_earlier_token = 0;  // multiplications for each earlier token that is looked at
  int64_t state_bytes = 0;        // in float32, before the first token
  int64_t state_growth = 0;       // bytes that each token adds
  int64_t context_limit = 0;      // 0: none
};
TokenCost token_cost(Model& model, kernels::Precision precision = kernels::Precision::f32);

// "a token costs 3.4 M multiplications at any position; the state has 151 KiB"
std::string describe(const TokenCost& cost);

}  // namespace aviary
