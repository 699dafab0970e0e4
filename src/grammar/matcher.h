// Follows a text byte by byte through a grammar.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "grammar/grammar.h"

namespace aviary {

namespace grammar {
class Configurations;
}

// A position in a text. A value: copying it is cheap. Copies share what they have learned of the grammar, so
// they must not be used by two threads at once.
class Matcher {
 public:
  explicit Matcher(Grammar::Ptr grammar);

  // Reads one byte, or all bytes. False, and the position is as before, if the grammar does not allow them.
  // Throws Error for a grammar that is too ambiguous there.
  bool accept(uint8_t byte);
  bool accept(std::string_view text);
  bool may_end() const;
  // The longest text, up to `most` bytes, that every continuation begins with.
  std::string forced(size_t most = 4096) const;

 private:
  Grammar::Ptr grammar_;
  std::shared_ptr<grammar::Configurations> configurations_;
  int32_t here_ = 0;
};

}  // namespace aviary
