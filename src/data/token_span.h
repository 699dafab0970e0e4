// A view of tokens, wherever they lie: int32 in memory, or as the numbers of a .bin.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace aviary {

class TokenSpan {
 public:
  TokenSpan() = default;
  TokenSpan(std::span<const int32_t> tokens) : wide_(tokens.data()), size_(std::ssize(tokens)) {}
  TokenSpan(const std::vector<int32_t>& tokens) : TokenSpan(std::span(tokens)) {}
  explicit TokenSpan(std::span<const uint16_t> tokens) : narrow_(tokens.data()), size_(std::ssize(tokens)) {}

  int64_t size() const { return size_; }
  int32_t operator[](int64_t i) const { return narrow_ ? narrow_[i] : wide_[i]; }
  // Tokens [from, from + count).
  TokenSpan part(int64_t from, int64_t count) const {
    TokenSpan result = *this;
    if (narrow_)
      result.narrow_ += from;
    else
      result.wide_ += from;
    result.size_ = count;
    return result;
  }
  std::vector<int32_t> copy() const {
    std::vector<int32_t> tokens(static_cast<size_t>(size_));
    for (int64_t i = 0; i < size_; ++i) tokens[static_cast<size_t>(i)] = (*this)[i];
    return tokens;
  }

 private:
  const int32_t* wide_ = nullptr;  // or
  const uint16_t* narrow_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace aviary
