// Speculative decoding: several guessed tokens are read in one step, and those that turn out as guessed cost
// no step of their own. The guesses are what followed when the text last stood where it stands now.
#pragma once

#include <span>
#include <vector>

#include "models/run.h"

namespace aviary {

// Guesses from the text itself. Its memory grows by 4 bytes a token.
class TextDraft {
 public:
  explicit TextDraft(int64_t most) : most_(most), length_(most), places_(size_t{1} << 16, 0) {}

  void push(int32_t token);
  // At most `most` tokens, and none where the end of the text is new. Valid until the next push().
  std::span<const int32_t> guess(int64_t most) const;
  // How many of the last guess were right: makes the next one longer or shorter, and asks for more of the
  // text to agree when all was wrong.
  void learn(int64_t guessed, int64_t right);

 private:
  static constexpr size_t least_agreement = 2, most_agreement = 16;

  // Of the last tokens of the text.
  size_t slot() const;

  int64_t most_, length_;
  size_t agreement_ = 3;  // tokens that have to stand before the guess as they stand at the end
  std::vector<int32_t> text_;
  std::vector<uint32_t> places_;  // by slot: where the text went on there last; 0: nowhere
  size_t last_ = 0;               // where it went on before
};

// One sequence, token after token; up to `draft` tokens are guessed ahead. The logits are those of reading
// every token alone, to the rounding of a step's products.
class Decoder {
 public:
  Decoder(Runner& runner, State& state, int64_t draft)
      : runner_(runner), state_(state), draft_(draft), text_(draft) {}

  // Tokens that the state has read, for the guesses.
  void has_read(std::span<const int32_t> tokens);
  // The logits [V] after `token`, valid until the next call. The state becomes one that has read the guesses
  // too.
  std::span<const float> after(int32_t token);

  int64_t guessed() const { return guessed_; }
  int64_t guessed_right() const { return right_; }

 private:
  std::span<const float> row(size_t i) const;

  Runner& runner_;
  State& state_;
  State before_;  // the step whose guesses are not used up
  int64_t draft_;
  TextDraft text_;
  std::vector<int32_t> step_;  // tokens of the last step: those read once more, a new one, guesses
  size_t at_ = 0;              // of these, the last that the text has too
  int64_t guesses_ = 0;        // how many of these
  Tensor logits_;              // of the rows of the step; only of the last when there are no guesses
  int64_t guessed_ = 0, right_ = 0;
};

}  // namespace aviary
