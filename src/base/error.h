// Errors that a user can act on: one sentence that says what, where, expected, got, and what to do.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace aviary {

// Thrown for everything that comes from outside: files, flags, requests, shapes given by a caller.
// Our own bugs are assertions, never an Error.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// `require(x.rank() == 2, "linear: x has rank {}, expected 2", x.rank())`
template <typename... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) [[unlikely]]
    fail(format, std::forward<Args>(args)...);
}

}  // namespace aviary
