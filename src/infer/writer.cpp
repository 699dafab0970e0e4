#include "infer/writer.h"

#include <utility>

#include "base/error.h"

namespace aviary {

Writer::Writer(const Tokenizer& tokenizer, WriterOptions options, std::unique_ptr<Constraint> constraint)
    : tokenizer_(&tokenizer),
      sampler_(std::move(options.sampling)),
      stop_(std::move(options.stop)),
      constraint_(std::move(constraint)),
      limit_(options.tokens),
      stop_at_end_of_text_(options.stop_at_end_of_text),
      exact_bytes_(options.exact_bytes) {
  require(limit_ >= 0, "generate: tokens is {}, expected at least 0", limit_);
  if (limit_ == 0) end_ = TextEnd::length;
}

Writer::Piece Writer::push(std::span<float> logits) {
  if (constraint_) constraint_->allow(logits);
  Piece piece{.token = sampler_.sample(logits)};
  if (stop_at_end_of_text_ && tokenizer_->end_of_text() == piece.token) {
    end_ = TextEnd::end_of_text;
    piece.text = held_back();
    return piece;
  }
  sampler_.accept(piece.token);
  if (constraint_) constraint_->accept(piece.token);
  ++tokens_;
  const std::string_view bytes = tokenizer_->bytes_of(piece.token);
  piece.text = exact_bytes_ ? stop_.push(bytes) : stop_.push(characters_.push(bytes));
  if (stop_.matched()) {
    end_ = TextEnd::stop;
  } else if (tokens_ == limit_) {
    end_ = TextEnd::length;
    piece.text += held_back();
  }
  return piece;
}

std::string Writer::held_back() {
  std::string text = stop_.push(characters_.flush());
  return text + stop_.flush();
}

}  // namespace aviary
