// Bounds-checked reading of untrusted bytes, used by all file formats; little-endian throughout.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/error.h"
#include "base/quotes.h"

namespace aviary {

static_assert(std::endian::native == std::endian::little,
              "the file formats are little-endian and read in place");

using Bytes = std::span<const std::byte>;

inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Stores a * b in `product` and returns true if it does not overflow; a and b must not be negative.
inline bool multiply(int64_t a, int64_t b, int64_t& product) {
  return !__builtin_mul_overflow(a, b, &product);
}

// Reads values in sequence. Reading past the end throws Error, beginning with `where`, the name of the file.
class ByteReader {
 public:
  ByteReader(Bytes bytes, std::string_view where) : bytes_(bytes), where_(where) {}

  // `size` may be any value, since it comes from the file.
  Bytes take(uint64_t size) {
    if (size > left())
      fail("{}: {} bytes are expected at byte {}, but only {} are left; the file is damaged or cut short",
           where_, size, position_, left());
    Bytes part = bytes_.subspan(position_, static_cast<size_t>(size));
    position_ += part.size();
    return part;
  }
  template <typename T>
  T read() {
    static_assert(std::is_arithmetic_v<T>);
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  // The bytes before the next '\n', which is consumed but not returned.
  std::string_view line();

  size_t position() const { return position_; }
  size_t left() const { return bytes_.size() - position_; }
  Bytes rest() const { return bytes_.subspan(position_); }

 private:
  Bytes bytes_;
  std::string_view where_;
  size_t position_ = 0;
};

}  // namespace aviary
