// Speculative decoding: a step reads several guessed tokens beside the new one, and every guess that turns
// out right saves a step. The guesses are what followed the last earlier occurrence of the current end of the
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
  // At most `most` tokens, and none when the end of the text has not occurred before. Valid until the next
  // push().
  std::span<const int32_t> guess(int64_t most) const;
  // How many of the last guess were right: makes the next one longer or shorter, and asks for a longer match
  // when all was wrong.
  void learn(int64_t guessed, int64_t right);

 private:
  static constexpr size_t least_match = 2, most_match = 16, slots = size_t{1} << 16;

  // A hash of the last least_match tokens.
  size_t slot() const;

  int64_t most_, length_;
  size_t match_ = 3;  // the last tokens of the text, so many, must have occurred before the guess
  std::vector<int32_t> text_;
  std::vector<uint32_t> places_;  // by slot: the position after the last occurrence; 0: none
  size_t last_ = 0;               // the position after the last earlier occurrence of the end of the text
};

// Plans the steps of one text: which tokens each step reads, of them at most `most` guesses. With most = 0
// every step reads one token. The logits are those of reading every token alone, to the rounding of a step's
// products.
//
//   lookahead.has_read(prompt);
//   while (!lookahead.follow(token, state)) run a step of lookahead.step() on `state`;
//   the logits after `token` are in row lookahead.row() of the last step
class Lookahead {
 public:
  explicit Lookahead(int64_t most) : most_(most), draft_(most) {}

  // Tokens that the state has read, for the guesses.
  void has_read(std::span<const int32_t> tokens);
  // The text goes on with `token`. True: the last step has read it already, as a guess. False: `state` must
  // read step() next; when the last step's guesses were wrong, it is put back to before that step first.
  bool follow(int32_t token, State& state);
  // The tokens of the last or next step. Rows from first_row() on may be asked for; the logits of the token
  // that was followed last are in row().
  std::span<const int32_t> step() const { return step_; }
  size_t first_row() const { return first_row_; }
  size_t row() const { return row_; }
  // Puts `state` back to before the last step when that has read guesses that are not part of the text.
  void drop_guesses(State& state);

  int64_t guessed() const { return guessed_; }
  int64_t guessed_right() const { return right_; }

 private:
  int64_t most_;
  TextDraft draft_;
  State before_;  // the last step that had guesses
  std::vector<int32_t>
      step_;  // tokens read once more since their step had wrong guesses, the new one, guesses
  size_t first_row_ = 0, row_ = 0;
  int64_t guesses_ = 0;  // at the end of the step
  int64_t guessed_ = 0, right_ = 0;
};

}  // namespace aviary
