#include "infer/writer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/error.h"

namespace aviary {
namespace {

double log_sum_of_exp(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

}  // namespace

std::vector<ScoredToken> most_probable(std::span<const float> logits, int64_t count) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto kept = std::min(order.size(), static_cast<size_t>(count));
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(kept), order.end(),
                    [&](int32_t a, int32_t b) {
                      const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
                      return x != y ? x > y : a < b;
                    });
  const double sum = log_sum_of_exp(logits);
  std::vector<ScoredToken> best;
  for (size_t i = 0; i < kept; ++i) best.push_back({order[i], logits[static_cast<size_t>(order[i])] - sum});
  return best;
}

double logprob_of(std::span<const float> logits, int32_t token) {
  return logits[static_cast<size_t>(token)] - log_sum_of_exp(logits);
}

Writer::Writer(const Tokenizer& tokenizer, WriterOptions options, std::unique_ptr<Constraint> constraint)
    : tokenizer_(&tokenizer),
      sampler_(std::move(options.sampling)),
      stop_(std::move(options.stop)),
      constraint_(std::move(constraint)),
      limit_(options.tokens),
      alternatives_(options.alternatives),
      stop_at_end_of_text_(options.stop_at_end_of_text),
      exact_bytes_(options.exact_bytes) {
  require(limit_ >= 0, "generate: tokens is {}, expected at least 0", limit_);
  if (limit_ == 0) end_ = TextEnd::length;
}

Writer::Piece Writer::push(std::span<float> logits) {
  std::vector<float> unmasked;
  if (alternatives_ >= 0 && constraint_) unmasked.assign(logits.begin(), logits.end());
  if (constraint_) constraint_->allow(logits);
  Piece piece{.token = sampler_.sample(logits)};
  if (alternatives_ >= 0) {
    const std::span<const float> plain = unmasked.empty() ? std::span<const float>(logits) : unmasked;
    piece.logprob = logprob_of(plain, piece.token);
    if (alternatives_ > 0) piece.alternatives = most_probable(plain, alternatives_);
  }
  take(piece);
  return piece;
}

bool Writer::is_forced() {
  if (ended() || !constraint_ || alternatives_ >= 0) return false;
  const std::span<const int32_t> forced = constraint_->forced();
  return !forced.empty() && !sampler_.bans(forced.front());
}

Writer::Piece Writer::push_forced() {
  sampler_.pass();
  Piece piece{.token = constraint_->forced().front()};
  take(piece);
  return piece;
}

void Writer::take(Piece& piece) {
  if (stop_at_end_of_text_ && tokenizer_->end_of_text() == piece.token) {
    end_ = TextEnd::end_of_text;
    piece.text = held_back();
    return;
  }
  sampler_.accept(piece.token);
  if (constraint_) constraint_->accept(piece.token);
  ++tokens_;
  const std::string_view bytes = tokenizer_->bytes_of(piece.token);
  piece.text = exact_bytes_ ? stop_.push(bytes) : stop_.push(characters_.push(bytes));
  if (stop_.matched()) {
    end_ = TextEnd::stop;
  } else if (constraint_ && constraint_->complete()) {
    end_ = TextEnd::end_of_text;
    piece.text += held_back();
  } else if (tokens_ == limit_) {
    end_ = TextEnd::length;
    piece.text += held_back();
  }
}

std::string Writer::held_back() {
  std::string text = stop_.push(characters_.flush());
  return text + stop_.flush();
}

}  // namespace aviary
