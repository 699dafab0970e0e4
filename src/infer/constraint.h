// What a text may be: a grammar, a schema, a list of choices.
#pragma once

#include <cstdint>
#include <span>

namespace aviary {

// Follows one text token by token. It sees the raw logits, before bias, penalties and filters, so that the
// filters (top-p and the others) judge the allowed tokens alone.
class Constraint {
 public:
  virtual ~Constraint() = default;

  // Sets the logit of every token that may not come next to -infinity; logits [V]. At least one must stay.
  // The text may end where the end-of-text token is allowed.
  virtual void allow(std::span<float> logits) = 0;
  // The text went on with this token, which allow() left in.
  virtual void accept(int32_t token) = 0;
};

}  // namespace aviary
