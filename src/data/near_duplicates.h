// Texts that are nearly equal: MinHash over the words (Broder 1997), with one hash per shingle (one
// permutation hashing with densification: Li, Owen, Zhang 2012; Shrivastava 2017).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data/word_run.h"

namespace aviary {

// What is kept of a document: 240 bytes.
struct NearKey {
  static constexpr int bands = 16, rows = 7;
  std::array<uint64_t, bands> band{};            // each of 7 of the 112 smallest hashes
  std::array<uint8_t, bands * rows> low_bits{};  // of the hashes
  bool empty = true;                             // a text without words is like no other

  // The estimated share of the shingles of both texts that both have (Jaccard).
  double similarity(const NearKey& other) const;
};

// The shingles of a text: five words in a row, in lower case (ASCII) and without punctuation; of a text with
// fewer words, all of them.
class MinHash {
 public:
  // The next word of the text, by a hash of it (word_hash of text_statistics.h).
  void add_word(uint64_t word);
  // Adds the shingles of another one.
  void merge(const MinHash& other);
  NearKey finish();

 private:
  void add_shingle(uint64_t hash);

  std::array<uint32_t, NearKey::bands* NearKey::rows> smallest_ = filled();
  WordRun<5> shingle_;
  int64_t count_ = 0;  // of words

  static std::array<uint32_t, NearKey::bands * NearKey::rows> filled();
};

// For each document the first one that it nearly equals, or itself. Two documents are compared if a band is
// equal, and joined from the similarity `least` on: two texts with similarity 0.8 are found in 97 % of the
// cases.
std::vector<uint32_t> near_groups(const std::vector<NearKey>& keys, double least = 0.7);

}  // namespace aviary
