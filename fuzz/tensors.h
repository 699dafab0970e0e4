// Guarantees about the tensors of a file in any format.
#pragma once

#include <cmath>

#include "formats/tensor_file.h"
#include "fuzz.h"

namespace aviary::fuzz {

inline void check_table(const TensorTable& table, size_t file_size) {
  size_t made = 0;
  for (const auto& buffer : table.buffers) made += static_cast<size_t>(buffer.bytes());
  expect(made <= 8 * file_size + 4096, "what is made anew stays in proportion to the file");
  for (const TensorEntry& tensor : table.tensors) {
    expect(static_cast<size_t>(expected_bytes(tensor, "file")) == tensor.stored().size(),
           "the data is as long as type and shape ask for");
    if (tensor.data.size() > 1 << 16) continue;
    volatile double sum = 0;
    for (double number : to_doubles(tensor)) sum = sum + number;
  }
}

}  // namespace aviary::fuzz
