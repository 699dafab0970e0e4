#include "grammar/grammar_constraint.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "base/error.h"

namespace aviary {
namespace {

constexpr float never = -std::numeric_limits<float>::infinity();
constexpr size_t most_forced = 64;  // tokens at once, so that a step of the model stays short

// Sets the logits of all other tokens to -infinity, except `kept` (-1: none).
void apply(const TokenMask& mask, std::span<float> logits, int32_t kept) {
  const auto saved =
      kept >= 0 && static_cast<size_t>(kept) < logits.size() ? logits[static_cast<size_t>(kept)] : never;
  const size_t known = std::min(mask.bits.size() * 64, logits.size());
  for (size_t begin = 0; begin < known; begin += 64) {
    const uint64_t word = mask.bits[begin / 64];
    const std::span<float> part = logits.subspan(begin, std::min<size_t>(64, known - begin));
    if (word == 0) {
      std::fill(part.begin(), part.end(), never);
      continue;
    }
    for (uint64_t banned = ~word; banned != 0; banned &= banned - 1) {
      const auto bit = static_cast<size_t>(std::countr_zero(banned));
      if (bit >= part.size()) break;
      part[bit] = never;
    }
  }
  std::fill(logits.begin() + static_cast<ptrdiff_t>(known), logits.end(), never);
  if (saved != never) logits[static_cast<size_t>(kept)] = saved;
}

}  // namespace

GrammarConstraint::GrammarConstraint(std::shared_ptr<TokenMasks> masks, bool force)
    : masks_(std::move(masks)), position_(masks_->start()), force_(force) {}

void GrammarConstraint::allow(std::span<float> logits) {
  const std::span<const int32_t> next = forced();
  if (!next.empty()) {
    const auto token = static_cast<size_t>(next.front());
    for (size_t i = 0; i < logits.size(); ++i)
      if (i != token) logits[i] = never;
    return;
  }
  const std::shared_ptr<const TokenMask> mask = masks_->mask(position_);
  const std::optional<int32_t> end = masks_->trie().tokenizer().end_of_text();
  const bool may_end = mask->may_end && end.has_value();
  require(mask->any || may_end, "grammar: no token of the vocabulary continues the text");
  apply(*mask, logits, may_end ? *end : -1);
}

void GrammarConstraint::accept(int32_t token) {
  const std::span<const int32_t> next = forced();
  const std::string_view bytes = masks_->trie().tokenizer().bytes_of(token);
  // The end of text as a token like others, where it may stand.
  if (token == masks_->trie().tokenizer().end_of_text() && masks_->may_end(position_)) return;
  require(!bytes.empty() && masks_->advance(position_, bytes), "grammar: token {} is not allowed here",
          token);
  if (!next.empty() && next.front() == token) {
    ++forced_begin_;
    if (forced_begin_ < forced_.size()) return;
  }
  looked_ = false;
}

std::span<const int32_t> GrammarConstraint::forced() {
  if (!force_) return {};
  if (!looked_) {
    forced_ = masks_->forced(position_, most_forced);
    forced_begin_ = 0;
    looked_ = true;
  }
  return std::span(forced_).subspan(forced_begin_);
}

bool GrammarConstraint::complete() { return masks_->is_complete(position_); }

}  // namespace aviary
