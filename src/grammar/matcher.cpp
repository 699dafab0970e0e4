#include "grammar/matcher.h"

#include <utility>

#include "grammar/configurations.h"

namespace aviary {

using grammar::Configurations;

Matcher::Matcher(Grammar::Ptr grammar)
    : grammar_(std::move(grammar)),
      configurations_(std::make_shared<Configurations>(grammar_->automaton())),
      here_(configurations_->start()) {}

bool Matcher::accept(uint8_t byte) {
  const int32_t next = configurations_->next(here_, byte);
  if (next == Configurations::dead) return false;
  here_ = next;
  return true;
}

bool Matcher::accept(std::string_view text) {
  const int32_t before = here_;
  for (const char byte : text) {
    if (accept(static_cast<uint8_t>(byte))) continue;
    here_ = before;
    return false;
  }
  return true;
}

bool Matcher::may_end() const { return configurations_->may_end(here_); }

std::string Matcher::forced(size_t most) const {
  std::string text;
  int32_t at = here_;
  while (text.size() < most) {
    const int32_t byte = configurations_->only_byte(at);
    if (byte < 0) break;
    text += static_cast<char>(byte);
    at = configurations_->next(at, static_cast<uint8_t>(byte));
  }
  return text;
}

}  // namespace aviary
