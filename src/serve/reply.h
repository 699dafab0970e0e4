// Divides the text of a reply into the parts that clients see.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "chat/reply_parser.h"
#include "serve/task.h"

namespace aviary {

// One text. The parts do not depend on how the text is split into pieces.
class Reply {
 public:
  virtual ~Reply() = default;
  // The parts that are known now; their `choice` is not set.
  virtual std::vector<Delta> push(std::string_view text) = 0;
  // What was held back.
  virtual std::vector<Delta> finish() { return {}; }
  // Whether the text is in a thought.
  virtual bool thinks() const { return false; }
  // Whether a tool was called.
  virtual bool has_calls() const { return false; }
};

// A text of one part.
class PlainReply : public Reply {
 public:
  std::vector<Delta> push(std::string_view text) override {
    std::vector<Delta> deltas(1);
    deltas[0].content = text;
    return deltas;
  }
};

// The reply in a conversation.
class ChatReply : public Reply {
 public:
  explicit ChatReply(ReplyForm form) : parser_(std::move(form)) {}

  std::vector<Delta> push(std::string_view text) override { return deltas(parser_.push(text)); }
  std::vector<Delta> finish() override { return deltas(parser_.finish()); }
  bool thinks() const override { return parser_.in_thought(); }
  bool has_calls() const override { return calls_ > 0; }

 private:
  std::vector<Delta> deltas(const std::vector<ReplyEvent>& events);

  ReplyParser parser_;
  int64_t calls_ = 0;
};

}  // namespace aviary
