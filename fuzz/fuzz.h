// Shared by all targets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace aviary::fuzz {

inline std::span<const std::byte> as_bytes(const uint8_t* data, size_t size) {
  return std::as_bytes(std::span(data, size));
}
inline std::string_view as_text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// A violated guarantee of a parser is a finding, in every build.
inline void expect(bool kept, const char* promise) {
  if (kept) return;
  std::fprintf(stderr, "not so: %s\n", promise);
  std::abort();
}

// Runs `parse`; an Error is a valid result if its message is one line of text.
template <typename Parse>
void refuse_or(Parse&& parse) {
  try {
    parse();
  } catch (const Error& error) {
    const std::string_view sentence = error.what();
    expect(!sentence.empty() && sentence.size() < 4096 && sentence.find('\n') == sentence.npos,
           "an error is one sentence on one line");
  }
}

}  // namespace aviary::fuzz
