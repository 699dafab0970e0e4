// Ragged rows: which rows of an activation [N, C] belong to which sequence. A training batch is B sequences
// of T rows, a prompt is one sequence of many rows, decoding is many sequences of one row; a serving step
// mixes these.
#pragma once

#include <cassert>
#include <cstdint>
#include <vector>

namespace aviary {

class Sequences {
 public:
  // `count` sequences of `length` rows each.
  static Sequences uniform(int64_t count, int64_t length) {
    Sequences sequences;
    for (int64_t i = 0; i < count; ++i) sequences.append(length);
    return sequences;
  }
  void append(int64_t length) {
    assert(length > 0);
    begins_.push_back(begins_.back() + length);
  }

  int64_t count() const { return static_cast<int64_t>(begins_.size()) - 1; }
  int64_t rows() const { return begins_.back(); }
  // Sequence s has rows begin(s) ... end(s) - 1.
  int64_t begin(int64_t s) const { return begins_[static_cast<size_t>(s)]; }
  int64_t end(int64_t s) const { return begins_[static_cast<size_t>(s) + 1]; }
  int64_t length(int64_t s) const { return end(s) - begin(s); }
  // count() + 1 offsets, for kernels.
  const int64_t* begins() const { return begins_.data(); }

 private:
  std::vector<int64_t> begins_{0};
};

}  // namespace aviary
