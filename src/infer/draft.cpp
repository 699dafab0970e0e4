#include "infer/draft.h"

#include <algorithm>

namespace aviary {

size_t TextDraft::slot() const {
  uint64_t mixed = 0;
  for (size_t i = text_.size() - least_agreement; i < text_.size(); ++i)
    mixed = (mixed + static_cast<uint64_t>(text_[i]) + 1) * 0x9e3779b97f4a7c15;
  return static_cast<size_t>(mixed >> 48);
}

void TextDraft::push(int32_t token) {
  text_.push_back(token);
  if (text_.size() < least_agreement) return;
  uint32_t& place = places_[slot()];
  last_ = place;
  place = static_cast<uint32_t>(text_.size());
}

std::span<const int32_t> TextDraft::guess(int64_t most) const {
  if (last_ == 0 || most <= 0) return {};
  size_t agreed = 0;
  while (agreed < agreement_ && agreed < last_ &&
         text_[last_ - 1 - agreed] == text_[text_.size() - 1 - agreed])
    ++agreed;
  if (agreed < agreement_) return {};
  const size_t count =
      std::min({text_.size() - last_, static_cast<size_t>(length_), static_cast<size_t>(most)});
  return {text_.data() + last_, count};
}

void TextDraft::learn(int64_t guessed, int64_t right) {
  length_ = right == guessed ? std::min(2 * length_, most_) : std::max<int64_t>(right, 1);
  if (right == 0)
    agreement_ = std::min(agreement_ + 1, most_agreement);
  else if (right == guessed)
    agreement_ = std::max(agreement_ - 1, least_agreement);
}

void Decoder::has_read(std::span<const int32_t> tokens) {
  if (draft_ == 0) return;  // nobody asks for guesses
  for (const int32_t token : tokens) text_.push(token);
}

std::span<const float> Decoder::after(int32_t token) {
  has_read({&token, 1});
  if (at_ + 1 < step_.size() && step_[at_ + 1] == token) {
    ++right_;
    return row(++at_);
  }
  if (guesses_ > 0) text_.learn(guesses_, guesses_ - static_cast<int64_t>(step_.size() - 1 - at_));
  if (at_ + 1 < step_.size()) {
    state_ = before_;
    step_.resize(at_ + 1);  // read once more, with what comes next
  } else {
    step_.clear();
  }
  at_ = step_.size();
  step_.push_back(token);
  const std::span<const int32_t> guess = text_.guess(draft_ - static_cast<int64_t>(at_));
  step_.insert(step_.end(), guess.begin(), guess.end());
  guesses_ = std::ssize(guess);
  guessed_ += guesses_;
  if (guesses_ > 0) before_ = state_;
  const Sequences one = Sequences::uniform(1, std::ssize(step_));
  logits_ = guesses_ > 0 ? runner_.all_logits(step_, one, state_) : runner_.last_logits(step_, one, state_);
  return row(guesses_ > 0 ? at_ : 0);
}

std::span<const float> Decoder::row(size_t i) const {
  const auto cols = static_cast<size_t>(logits_.cols());
  return {logits_.as<float>() + i * cols, cols};
}

}  // namespace aviary
