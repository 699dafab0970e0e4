// Finds the end of a JSON value in text that arrives byte by byte.
#pragma once

#include <cstdint>
#include <string>

namespace aviary {

class JsonScanner {
 public:
  enum class State : uint8_t { open, complete, broken };

  // The next byte. Once the state is complete or broken, it stays so. A byte that cannot continue the value
  // breaks it and is not part of it. Objects and arrays only: the end of a number is not known before the
  // byte after it.
  State push(char c);
  void reset() { *this = {}; }

 private:
  enum class Expect : uint8_t { value, first_value, key, first_key, colon, comma, text, escape, hex, scalar };

  State break_off();
  State close(char c);
  State begin_value(char c);
  State push_in_string(char c);
  State push_between(char c);

  State state_ = State::open;
  Expect expect_ = Expect::value;
  std::string open_;    // the brackets that are open
  std::string scalar_;  // the number or word that is being read
  bool key_ = false;    // the string that is being read is a key
  int hex_left_ = 0;
};

}  // namespace aviary
