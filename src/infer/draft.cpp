#include "infer/draft.h"

#include <algorithm>

namespace aviary {

size_t TextDraft::slot() const {
  uint64_t mixed = 0;
  for (size_t i = text_.size() - least_match; i < text_.size(); ++i)
    mixed = (mixed + static_cast<uint64_t>(text_[i]) + 1) * 0x9e3779b97f4a7c15;
  return static_cast<size_t>(mixed >> 48);  // below `slots`
}

void TextDraft::push(int32_t token) {
  if (places_.empty()) places_.resize(slots, 0);
  text_.push_back(token);
  if (text_.size() < least_match) return;
  uint32_t& place = places_[slot()];
  last_ = place;
  place = static_cast<uint32_t>(text_.size());
}

std::span<const int32_t> TextDraft::guess(int64_t most) const {
  if (last_ == 0 || most <= 0) return {};
  size_t matched = 0;
  while (matched < match_ && matched < last_ &&
         text_[last_ - 1 - matched] == text_[text_.size() - 1 - matched])
    ++matched;
  if (matched < match_) return {};
  const size_t count =
      std::min({text_.size() - last_, static_cast<size_t>(length_), static_cast<size_t>(most)});
  return {text_.data() + last_, count};
}

void TextDraft::learn(int64_t guessed, int64_t right) {
  length_ = right == guessed ? std::min(2 * length_, most_) : std::max<int64_t>(right, 1);
  if (right == 0)
    match_ = std::min(match_ + 1, most_match);
  else if (right == guessed)
    match_ = std::max(match_ - 1, least_match);
}

void Lookahead::has_read(std::span<const int32_t> tokens) {
  if (most_ == 0) return;  // without guesses
  for (const int32_t token : tokens) draft_.push(token);
}

bool Lookahead::follow(std::span<const int32_t> tokens, State& state) {
  has_read(tokens);
  for (; !tokens.empty() && row_ + 1 < step_.size() && step_[row_ + 1] == tokens.front();
       tokens = tokens.subspan(1)) {
    ++right_;
    ++row_;
  }
  if (tokens.empty()) return true;
  const auto unread = static_cast<int64_t>(step_.size()) - 1 - static_cast<int64_t>(row_);
  if (guesses_ > 0) draft_.learn(guesses_, guesses_ - unread);
  if (guesses_ > 0 && unread > 0) {
    state = before_;
    step_.resize(row_ + 1);  // read again, with the next tokens
  } else {
    step_.clear();
  }
  const auto again = static_cast<int64_t>(step_.size());
  step_.insert(step_.end(), tokens.begin(), tokens.end());
  first_row_ = row_ = step_.size() - 1;
  const std::span<const int32_t> guess = draft_.guess(most_ - again);
  step_.insert(step_.end(), guess.begin(), guess.end());
  guesses_ = std::ssize(guess);
  guessed_ += guesses_;
  if (guesses_ > 0) before_ = state;
  return false;
}

void Lookahead::drop_guesses(State& state) {
  if (guesses_ > 0 && row_ + 1 < step_.size()) state = before_;
}

}  // namespace aviary
