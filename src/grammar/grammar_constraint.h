// Lets a text follow a grammar while it is written.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "grammar/token_mask.h"
#include "infer/constraint.h"

namespace aviary {

class GrammarConstraint final : public Constraint {
 public:
  // With `force`, bytes that must follow are written as the tokens that the tokenizer would make of them, and
  // forced() tells them in advance. Without, every token that the grammar allows is left to the model.
  explicit GrammarConstraint(std::shared_ptr<TokenMasks> masks, bool force = true);

  // Throws Error if the vocabulary has no token that the grammar allows.
  void allow(std::span<float> logits) override;
  // Throws Error for a token that the grammar does not allow.
  void accept(int32_t token) override;
  std::span<const int32_t> forced() override;
  bool complete() override;

 private:
  std::shared_ptr<TokenMasks> masks_;
  TokenMasks::Position position_;
  const bool force_;
  std::vector<int32_t> forced_;  // those that come next, from forced_begin_ on
  size_t forced_begin_ = 0;
  bool looked_ = false;  // for forced tokens at this position
};

}  // namespace aviary
