// Sets of characters (code points without surrogates), and their bytes in UTF-8.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace aviary::grammar {

// An inclusive range of bytes.
struct ByteRange {
  uint8_t low = 0, high = 0;
  auto operator<=>(const ByteRange&) const = default;
};

class CharSet {
 public:
  struct Range {
    uint32_t low = 0, high = 0;  // inclusive
    bool operator==(const Range&) const = default;
  };

  CharSet() = default;
  // The characters of these ranges, in any order; surrogates are left out.
  explicit CharSet(std::vector<Range> ranges);
  static CharSet all() { return CharSet({{0, 0x10ffff}}); }

  void add(uint32_t low, uint32_t high) { *this = CharSet(with({low, high})); }
  void add(const CharSet& other);
  CharSet complement() const;
  bool empty() const { return ranges_.empty(); }
  // Sorted, and neither overlapping nor adjacent.
  std::span<const Range> ranges() const { return ranges_; }

 private:
  std::vector<Range> with(Range range) const;

  std::vector<Range> ranges_;
};

// Calls `add` with sequences of byte ranges: together they are exactly the UTF-8 encodings of the characters.
void for_each_utf8(const CharSet& set, const std::function<void(std::span<const ByteRange>)>& add);

// Adds to an automaton what leads from `from` to `to` by reading one of the characters. States that lead to
// `to` through the same ranges of bytes are one state.
void add_utf8(const CharSet& set, int32_t from, int32_t to, const std::function<int32_t()>& add_state,
              const std::function<void(int32_t from, ByteRange bytes, int32_t to)>& add_bytes);

}  // namespace aviary::grammar
