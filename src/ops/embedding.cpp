// Embedding: rows of a table. Backward: dtable[token] += dy of every row with that token.
#include <cstring>

#include "ops/ops.h"

namespace aviary {

Var embedding(Context& c, Weight& table, std::span<const int32_t> tokens) {
  const int64_t rows = static_cast<int64_t>(tokens.size()), vocabulary = table.shape()[0];
  const int64_t cols = table.shape()[1];
  for (size_t i = 0; i < tokens.size(); ++i)
    if (tokens[i] < 0 || tokens[i] >= vocabulary) [[unlikely]]
      fail("embedding: token {} at position {} is outside the vocabulary of {}", tokens[i], i, vocabulary);
  Var y = c.result({rows, cols}, table.dtype());
  Tensor ids = c.arena.tensor({rows}, Dtype::i32);  // a copy, for the tape
  std::memcpy(ids.data(), tokens.data(), tokens.size_bytes());
  const int32_t* id = ids.as<int32_t>();
  if (y.dtype() == Dtype::f64) {
    for (int64_t n = 0; n < rows; ++n)
      std::memcpy(y.value.as<double>() + n * cols, table.value().as<double>() + id[n] * cols,
                  static_cast<size_t>(cols) * sizeof(double));
  } else if (table.is_stored()) {
    for (int64_t n = 0; n < rows; ++n) table.decode_row(id[n], y.value.as<float>() + n * cols);
  } else {
    kernels::gather_rows(table.value().as<float>(), id, rows, cols, y.value.as<float>());
  }
  if (!c.tape || !table.trainable()) return y;
  c.tape->record({y}, [=, &table](Tape& tape) {
    Tensor dy = tape.gradient(y);
    if (y.dtype() == Dtype::f64) {
      for (int64_t n = 0; n < rows; ++n)
        for (int64_t i = 0; i < cols; ++i)
          table.gradient().as<double>()[id[n] * cols + i] += dy.as<double>()[n * cols + i];
    } else {
      kernels::scatter_add_rows(dy.as<float>(), id, rows, cols, table.gradient().as<float>());
    }
  });
  return y;
}

}  // namespace aviary
