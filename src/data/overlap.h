// Whether texts share runs of words with others, such as those that a model is to be evaluated on.
#pragma once

#include <tsl/robin_set.h>

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/word_run.h"

namespace aviary {

class Overlap {
 public:
  static constexpr int run = 13;  // words

  Overlap() = default;
  // Of all runs of 13 words of these texts; of rows of JSON, of what is in quotes and the rest alike. Throws
  // Error for a file that cannot be read.
  explicit Overlap(const std::vector<std::filesystem::path>& files);
  bool empty() const { return runs_.empty(); }

  // Reads the words of another text.
  class Reader {
   public:
    explicit Reader(const Overlap& overlap) : overlap_(overlap) {}
    void add_word(uint64_t word) { found_ += run_.add(word) && overlap_.runs_.contains(run_.hash()); }
    int64_t found() const { return found_; }  // runs that are in the texts

   private:
    const Overlap& overlap_;
    WordRun<run> run_;
    int64_t found_ = 0;
  };

 private:
  struct Hash {
    size_t operator()(uint64_t hash) const { return hash ^ (hash >> 32); }
  };
  tsl::robin_set<uint64_t, Hash> runs_;
};

}  // namespace aviary
