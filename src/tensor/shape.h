// The sizes of a tensor, at most four, in row-major order.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cassert>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace aviary {

class Shape {
 public:
  static constexpr int max_rank = 4;

  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes) {
    for (int64_t size : sizes) append(size);
  }
  void append(int64_t size) {
    assert(rank_ < max_rank);
    sizes_[static_cast<size_t>(rank_++)] = size;
  }

  int rank() const { return rank_; }
  int64_t operator[](int axis) const {
    assert(axis >= 0 && axis < rank_);
    return sizes_[static_cast<size_t>(axis)];
  }
  // Number of elements; 1 for a scalar.
  int64_t count() const {
    int64_t product = 1;
    for (int i = 0; i < rank_; ++i) product *= sizes_[static_cast<size_t>(i)];
    return product;
  }
  bool operator==(const Shape& other) const = default;

 private:
  std::array<int64_t, max_rank> sizes_{};
  int rank_ = 0;
};

// "[2, 16, 64]"
inline std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (int i = 0; i < shape.rank(); ++i) text += fmt::format("{}{}", i ? ", " : "", shape[i]);
  return text + "]";
}

}  // namespace aviary

// So that a Shape can be passed to require(): the text is formatted only if the message is needed.
template <>
struct fmt::formatter<aviary::Shape> : fmt::formatter<std::string> {
  auto format(const aviary::Shape& shape, fmt::format_context& context) const {
    return fmt::formatter<std::string>::format(aviary::to_string(shape), context);
  }
};
