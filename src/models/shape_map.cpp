#include "models/shape_map.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace aviary {

const Shape* find_shape(const ShapeMap& shapes, std::string_view name) {
  for (const auto& [key, shape] : shapes)
    if (key == name) return &shape;
  return nullptr;
}

int64_t find_size(const ShapeMap& shapes, std::string_view name, int axis) {
  const Shape* shape = find_shape(shapes, name);
  return shape && shape->rank() > axis ? (*shape)[axis] : 0;
}

const Shape* find_in_blocks(const ShapeMap& shapes, std::string_view name) {
  for (const auto& [key, shape] : shapes)
    if (key.starts_with("blocks.") && key.ends_with(name) && key.find('.', 7) + name.size() + 1 == key.size())
      return &shape;
  return nullptr;
}

int64_t block_of(std::string_view name, std::string_view prefix) {
  int64_t index = -1;
  if (!name.starts_with(prefix)) return -1;
  const auto [end, error] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), index);
  return error == std::errc() && index >= 0 && index < INT64_MAX ? index : -1;
}

int64_t count_blocks(const ShapeMap& shapes, std::string_view prefix) {
  int64_t count = 0;
  for (const auto& [name, shape] : shapes) count = std::max(count, block_of(name, prefix) + 1);
  return count;
}

}  // namespace aviary
