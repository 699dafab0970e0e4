// The hash of the last words of a text, kept up to date word by word.
#pragma once

#include <array>
#include <cstdint>

namespace aviary {

template <int length>
class WordRun {
 public:
  // Adds the hash of a word; whether `length` words have been read.
  bool add(uint64_t word) {
    uint64_t& oldest = words_[static_cast<size_t>(count_ % length)];
    hash_ = hash_ * factor + word - oldest * highest;
    oldest = word;
    return ++count_ >= length;
  }
  // Of the last `length` words, or of all if there are fewer.
  uint64_t hash() const { return hash_; }
  int64_t words() const { return count_; }

 private:
  static constexpr uint64_t factor = 0x9fb21c651e98df25;  // odd
  static constexpr uint64_t power() {
    uint64_t result = 1;
    for (int i = 0; i < length; ++i) result *= factor;
    return result;
  }
  static constexpr uint64_t highest = power();

  std::array<uint64_t, length> words_{};  // a ring
  int64_t count_ = 0;
  uint64_t hash_ = 0;
};

}  // namespace aviary
