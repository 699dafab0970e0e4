// A restriction of the generated text: a grammar, a schema, a list of choices.
#pragma once

#include <cstdint>
#include <span>

namespace aviary {

// Follows one text token by token. It masks the raw logits, before bias, penalties and filters, so that the
// filters (top-p and others) apply only to allowed tokens.
// One text uses it, on any thread; what several share must be thread-safe.
class Constraint {
 public:
  virtual ~Constraint() = default;

  // Sets the logit of every token that is not allowed next to -infinity; logits [V]. At least one must
  // remain. The text may end where the end-of-text token is allowed.
  virtual void allow(std::span<float> logits) = 0;
  // The text continues with this token, which allow() permitted.
  virtual void accept(int32_t token) = 0;
  // The tokens that must come next, one after the other, where each is the only one that allow() permits;
  // they may then be read in one step. Valid until the next call.
  virtual std::span<const int32_t> forced() { return {}; }
  // Whether nothing may follow: the text ends here, as with an end-of-text token.
  virtual bool complete() { return false; }
};

}  // namespace aviary
