// What every function of the library throws for a mistake that a caller can act on.
#pragma once

#include <aviary/export.h>

#include <stdexcept>

namespace aviary {

// what() is one sentence: what, where, expected, got, and what to do. Thrown for everything that comes from
// outside: files, flags, requests, sizes and tokens given by a caller.
class AVIARY_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace aviary
