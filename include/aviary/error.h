// The exception that functions of the library throw for errors that a caller can correct.
#pragma once

#include <aviary/export.h>

#include <stdexcept>

namespace aviary {

// what() is one sentence: what, where, expected, got, and what to do. Thrown for all external input: files,
// flags, requests, sizes and tokens given by a caller.
class AVIARY_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace aviary
