// Errors for the user: one sentence that states what, where, expected, got, and what to do.
#pragma once

#include <aviary/error.h>
#include <fmt/format.h>

#include <string>
#include <utility>

#include "base/quotes.h"

namespace aviary {

// Messages quote names of files and of what is in them, so control characters are escaped here for all.
template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(printable(fmt::format(format, std::forward<Args>(args)...)));
}

// `require(x.rank() == 2, "linear: x has rank {}, expected 2", x.rank())`
template <typename... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) [[unlikely]]
    fail(format, std::forward<Args>(args)...);
}

}  // namespace aviary
