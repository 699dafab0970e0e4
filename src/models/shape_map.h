// Names and shapes of the tensors of a file, from which a model is recognized.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace aviary {

using ShapeMap = std::vector<std::pair<std::string, Shape>>;

// Null if there is no tensor of this name.
const Shape* find_shape(const ShapeMap& shapes, std::string_view name);
// The size of axis `axis` of a tensor; 0 if there is none.
int64_t find_size(const ShapeMap& shapes, std::string_view name, int axis);
// The i of "blocks.<i>.", or the number after another prefix; -1 for other names.
int64_t block_of(std::string_view name, std::string_view prefix = "blocks.");
// 1 + the largest of these i; 0 if there is none.
int64_t count_blocks(const ShapeMap& shapes, std::string_view prefix = "blocks.");
// The shape of "blocks.<i>.<name>" in the first block that has it.
const Shape* find_in_blocks(const ShapeMap& shapes, std::string_view name);

}  // namespace aviary
