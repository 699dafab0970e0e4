// Speculative decoding: a step reads several guessed tokens in addition to the new one, and every correct
// guess saves a step. The guesses are what followed the last earlier occurrence of the current end of the
// text.
#pragma once

#include <span>
#include <vector>

#include "models/state.h"

namespace aviary {

// Guesses from the text itself. Its memory grows by 4 bytes a token.
class TextDraft {
 public:
  explicit TextDraft(int64_t most) : most_(most), length_(most) {}

  void push(int32_t token);
  // At most `most` tokens, and none if the end of the text has not occurred before. Valid until the next
  // push().
  std::span<const int32_t> guess(int64_t most) const;
  // Reports how many tokens of the last guess were right: makes the next guess longer or shorter, and
  // requires a longer match if all were wrong.
  void learn(int64_t guessed, int64_t right);

 private:
  static constexpr size_t least_match = 2, most_match = 16, slots = size_t{1} << 16;

  // A hash of the last least_match tokens.
  size_t slot() const;

  int64_t most_, length_;
  size_t match_ = 3;  // number of last tokens that must also precede the guess
  std::vector<int32_t> text_;
  std::vector<uint32_t> places_;  // by slot: the position after the last occurrence; 0: none
  size_t last_ = 0;               // the position after the last earlier occurrence of the end of the text
};

// Plans the steps of one text: the tokens that each step reads, including at most `most` guesses. With most =
// 0 every step reads one token. The logits equal those of reading the tokens one by one, up to the rounding
// of products.
//
//   lookahead.has_read(prompt);
//   while (!lookahead.follow(token, state)) run a step of lookahead.step() on `state`;
//   the logits after `token` are in row lookahead.row() of the last step
class Lookahead {
 public:
  explicit Lookahead(int64_t most) : most_(most), draft_(most) {}

  // Tokens that the state has read, for the guesses.
  void has_read(std::span<const int32_t> tokens);
  // Continues the text with these tokens, at least one. True: the last step has already read them, as
  // guesses. False: `state` must read step() next; if guesses of the last step were wrong, `state` has been
  // restored to before that step.
  bool follow(std::span<const int32_t> tokens, State& state);
  bool follow(int32_t token, State& state) { return follow({&token, 1}, state); }
  // The tokens of the last or next step. Rows from first_row() on may be needed; the logits after the last
  // followed token are in row().
  std::span<const int32_t> step() const { return step_; }
  size_t first_row() const { return first_row_; }
  size_t row() const { return row_; }
  // Restores `state` to before the last step if that has read guesses that are not part of the text.
  void drop_guesses(State& state);

  int64_t guessed() const { return guessed_; }
  int64_t guessed_right() const { return right_; }

 private:
  int64_t most_;
  TextDraft draft_;
  State before_;               // the last step that had guesses
  std::vector<int32_t> step_;  // tokens read again because their step had wrong guesses, the new one, guesses
  size_t first_row_ = 0, row_ = 0;
  int64_t guesses_ = 0;  // at the end of the step
  int64_t guessed_ = 0, right_ = 0;
};

}  // namespace aviary
