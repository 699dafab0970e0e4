#include "grammar/char_set.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>

#include "base/utf8.h"

namespace aviary::grammar {
namespace {

constexpr CharSet::Range surrogates{0xd800, 0xdfff};

// One range of code points whose encodings have equal length and differ only in whole last bytes.
void add_block(uint32_t low, uint32_t high, const std::function<void(std::span<const ByteRange>)>& add) {
  std::string first, last;
  append_utf8(first, low);
  append_utf8(last, high);
  std::array<ByteRange, 4> bytes;
  for (size_t i = 0; i < first.size(); ++i)
    bytes[i] = {static_cast<uint8_t>(first[i]), static_cast<uint8_t>(last[i])};
  add(std::span(bytes).first(first.size()));
}

void add_range(uint32_t low, uint32_t high, const std::function<void(std::span<const ByteRange>)>& add) {
  for (const uint32_t longest : {0x7fu, 0x7ffu, 0xffffu}) {
    if (low > longest || high <= longest) continue;
    add_range(low, longest, add);
    return add_range(longest + 1, high, add);
  }
  if (high < 0x80) return add_block(low, high, add);
  for (const uint32_t bits : {6u, 12u, 18u}) {  // of the last one, two and three bytes
    const uint32_t mask = (1u << bits) - 1;
    if ((low & ~mask) == (high & ~mask)) break;
    if ((low & mask) != 0) {
      add_range(low, low | mask, add);
      return add_range((low | mask) + 1, high, add);
    }
    if ((high & mask) != mask) {
      add_range(low, (high & ~mask) - 1, add);
      return add_range(high & ~mask, high, add);
    }
  }
  add_block(low, high, add);
}

}  // namespace

CharSet::CharSet(std::vector<Range> ranges) {
  std::vector<Range> parts;
  for (const Range& range : ranges) {
    if (range.low < surrogates.low) parts.push_back({range.low, std::min(range.high, surrogates.low - 1)});
    if (range.high > surrogates.high)
      parts.push_back({std::max(range.low, surrogates.high + 1), std::min(range.high, 0x10ffffu)});
  }
  std::erase_if(parts, [](const Range& range) { return range.low > range.high; });
  std::sort(parts.begin(), parts.end(), [](const Range& a, const Range& b) { return a.low < b.low; });
  for (const Range& range : parts) {
    if (!ranges_.empty() && range.low <= ranges_.back().high + 1)
      ranges_.back().high = std::max(ranges_.back().high, range.high);
    else
      ranges_.push_back(range);
  }
}

std::vector<CharSet::Range> CharSet::with(Range range) const {
  std::vector<Range> ranges = ranges_;
  ranges.push_back(range);
  return ranges;
}

void CharSet::add(const CharSet& other) {
  std::vector<Range> ranges = ranges_;
  ranges.insert(ranges.end(), other.ranges_.begin(), other.ranges_.end());
  *this = CharSet(std::move(ranges));
}

CharSet CharSet::complement() const {
  std::vector<Range> gaps;
  uint32_t next = 0;
  for (const Range& range : ranges_) {
    if (range.low > next) gaps.push_back({next, range.low - 1});
    next = range.high + 1;
  }
  if (next <= 0x10ffff) gaps.push_back({next, 0x10ffff});
  return CharSet(std::move(gaps));
}

void for_each_utf8(const CharSet& set, const std::function<void(std::span<const ByteRange>)>& add) {
  for (const CharSet::Range& range : set.ranges()) add_range(range.low, range.high, add);
}

void add_utf8(const CharSet& set, int32_t from, int32_t to, const std::function<int32_t()>& add_state,
              const std::function<void(int32_t from, ByteRange bytes, int32_t to)>& add_bytes) {
  std::map<std::vector<ByteRange>, int32_t> tails;
  for_each_utf8(set, [&](std::span<const ByteRange> ranges) {
    int32_t target = to;
    for (size_t i = ranges.size() - 1; i > 0; --i) {
      const auto [place, fresh] =
          tails.emplace(std::vector<ByteRange>(ranges.begin() + static_cast<ptrdiff_t>(i), ranges.end()), 0);
      if (fresh) {
        place->second = add_state();
        add_bytes(place->second, ranges[i], target);
      }
      target = place->second;
    }
    add_bytes(from, ranges[0], target);
  });
}

}  // namespace aviary::grammar
