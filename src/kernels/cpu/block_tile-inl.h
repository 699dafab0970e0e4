// The tile for instruction sets with few registers: the codes of a vector's columns are unpacked, then
// multiplied with every row. No include guard: the file of an instruction set includes it once, after
// defining what is used here: AVIARY_TILE, Floats, Codes, lanes, vectors, unpack, scale_of, offset_of, dot
// and the small functions.

template <class Layout, int64_t rows>
AVIARY_TILE void tile(const RoundedRows& x, const std::byte* panel, int64_t units, float* y, int64_t y_stride,
                      bool accumulate, const std::byte* ahead, int64_t ahead_lines) {
  constexpr int64_t blocks = Layout::unit / block_k, groups = Layout::groups_in_32;
  constexpr int steps = static_cast<int>(block_steps / groups);
  Floats sum[vectors][rows];
  for (int v = 0; v < vectors; ++v)
    for (int r = 0; r < rows; ++r) sum[v][r] = accumulate ? load(y + r * y_stride + v * lanes) : all(0);
  int64_t block = 0;
  for (int64_t u = 0; u < units; ++u, panel += Layout::unit_bytes)
    for (int64_t b = 0; b < blocks; ++b, ++block) {
      if constexpr (rows > 1)
        for (int64_t i = 0; i < ahead_lines; ++i, ahead += 64) __builtin_prefetch(ahead, 0, 2);
      for (int v = 0; v < vectors; ++v) {
        Codes codes[block_steps];
        unpack<Layout>(panel + Layout::codes_at(b), v, codes);
        HWY_UNROLL(2)
        for (int64_t g = 0; g < groups; ++g) {
          const Floats scale = scale_of<Layout>(panel, b * groups + g, v);
          for (int r = 0; r < rows; ++r) {
            const auto whole = dot<Layout::bits, steps>(codes + g * steps,
                                                        x.codes + r * x.k + block * block_k + g * steps * 4,
                                                        x.starts[r * (x.k / x.group) + block * groups + g]);
            const Floats step = multiply(scale, x.scales[r * (x.k / block_k) + block]);
            sum[v][r] = multiply_add(floats(whole), step, sum[v][r]);
          }
        }
        if constexpr (Layout::has_offset) {
          const Floats offset = offset_of<Layout>(panel, b, v);
          for (int r = 0; r < rows; ++r)
            sum[v][r] = multiply_add(offset, all(x.sums[r * (x.k / block_k) + block]), sum[v][r]);
        }
      }
    }
  for (int v = 0; v < vectors; ++v)
    for (int r = 0; r < rows; ++r) store(sum[v][r], y + r * y_stride + v * lanes);
}
