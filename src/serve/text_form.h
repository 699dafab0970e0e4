// The restrictions of texts that requests ask for: formats and calls of tools.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <utility>

#include "chat/chat_template.h"
#include "grammar/grammar_constraint.h"
#include "serve/task.h"

namespace aviary {

// The grammar of a completion; null: free text. Throws Error for what cannot be followed.
Grammar::Ptr completion_grammar(const ResponseFormat& format);

// The grammar of a reply in a conversation, with what the template puts around it: the format, or the calls
// that the tools allow. Calls that are the model's choice are held to the schema if a tool is strict, from
// where one begins.
Grammar::Ptr reply_grammar(const ChatTask& task, const ChatTemplate& form, const ReplyForm& reply);

// The masks of a grammar, which may still be compiled; what its compilation throws is what get() throws.
using MasksFuture = std::shared_future<std::shared_ptr<TokenMasks>>;

// Follows the grammar; waits for it where it is not ready.
class LateConstraint : public Constraint {
 public:
  explicit LateConstraint(MasksFuture masks) : masks_(std::move(masks)) {}
  void allow(std::span<float> logits) override { inner().allow(logits); }
  void accept(int32_t token) override { inner().accept(token); }
  std::span<const int32_t> forced() override { return inner().forced(); }
  bool complete() override { return inner().complete(); }

 private:
  GrammarConstraint& inner() {
    if (!inner_) inner_.emplace(masks_.get());
    return *inner_;
  }

  const MasksFuture masks_;
  std::optional<GrammarConstraint> inner_;
};

// Ends a thought that has become too long: after `limit` tokens it is closed with `end`, unless it was closed
// before.
class ThoughtLimit : public Constraint {
 public:
  // `inner`: what restricts the text besides; may be null.
  ThoughtLimit(std::unique_ptr<Constraint> inner, const Tokenizer& tokenizer, int64_t limit,
               std::string_view end);

  void allow(std::span<float> logits) override;
  void accept(int32_t token) override;
  std::span<const int32_t> forced() override;
  bool complete() override { return inner_ && inner_->complete(); }

 private:
  bool closes() const { return closing_ && next_ < end_.size(); }

  std::unique_ptr<Constraint> inner_;
  const Tokenizer& tokenizer_;
  const int64_t limit_;
  std::vector<int32_t> end_;  // the tokens that close the thought
  std::string text_;          // of the thought
  int64_t tokens_ = 0;
  bool closing_ = false, closed_ = false;
  size_t next_ = 0;  // in end_
};

}  // namespace aviary
