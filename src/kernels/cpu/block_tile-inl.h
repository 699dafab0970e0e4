// The tiles of x86 without AVX512_VNNI. No include guard: the file of an instruction set includes it once,
// after defining what is used here: AVIARY_TILE (attributes of a function), Floats, Codes, lanes, vectors,
// pair_of, scale_of, offset_of, four_codes, Dot, pairs_fit and the small functions.

// One row, for which B is read in the order in which it lies in memory.
template <class Layout>
AVIARY_TILE void row_tile(const RoundedRows& x, const std::byte* panel, int64_t units, float* y, int64_t,
                          bool accumulate, const std::byte*, int64_t) {
  constexpr int64_t blocks = Layout::unit / block_k, groups = Layout::groups_in_32;
  constexpr int steps = static_cast<int>(block_steps / groups);
  const int64_t ahead = row_ahead();
  Floats sum[vectors];
  HWY_UNROLL(4)
  for (int v = 0; v < vectors; ++v) sum[v] = accumulate ? load(y + v * lanes) : all(0);
  const RoundedBlock* of_x = x.blocks;
  for (int64_t u = 0; u < units; ++u, panel += Layout::unit_bytes)
    for (int64_t b = 0; b < blocks; ++b, ++of_x) {
      const std::byte* at = panel + Layout::codes_at(b);
      prefetch_row<Layout>(at, ahead);
      HWY_UNROLL(2)
      for (int64_t g = 0; g < groups; ++g) {
        Dot<Layout::bits> dots[vectors];
        HWY_UNROLL(4)
        for (int v = 0; v < vectors; ++v) dots[v].begin(whole(of_x->starts[g]));
        HWY_UNROLL(4)
        for (int s = 0; s < steps; s += 2) {
          const int step = static_cast<int>(g) * steps + s;
          const Codes even = four_codes(of_x->codes + 4 * step), odd = four_codes(of_x->codes + 4 * step + 4);
          HWY_UNROLL(4)
          for (int v = 0; v < vectors; ++v) dots[v].add(s, pair_of<Layout>(at, step, v), even, odd);
        }
        HWY_UNROLL(4)
        for (int v = 0; v < vectors; ++v) {
          dots[v].end(steps);
          const Floats scale = multiply(scale_of<Layout>(panel, b * groups + g, v), of_x->scale);
          sum[v] = multiply_add(floats(dots[v].sum), scale, sum[v]);
        }
      }
      if constexpr (Layout::has_offset) {
        HWY_UNROLL(4)
        for (int v = 0; v < vectors; ++v)
          sum[v] = multiply_add(offset_of<Layout>(panel, b, v), all(of_x->sum), sum[v]);
      }
    }
  HWY_UNROLL(4)
  for (int v = 0; v < vectors; ++v) store(sum[v], y + v * lanes);
}

// Whether the sum of all eight steps fits into 16 bits: it is widened only at the end.
template <class Layout>
constexpr bool narrow = Layout::groups_in_32 == 1 && pairs_fit<Layout::bits>;
// What is kept of the first four steps.
template <class Layout>
AVIARY_TILE __attribute__((always_inline)) inline Codes first_half(const Dot<Layout::bits>& dot) {
  if constexpr (narrow<Layout>)
    return dot.pairs;
  else
    return dot.sum;
}

// Several rows: the codes of four steps in the columns of two vectors fill the registers, and are multiplied
// with one row after another; four bytes of x serve both vectors.
template <class Layout, int64_t rows>
AVIARY_TILE void tile(const RoundedRows& x, const std::byte* panel, int64_t units, float* y, int64_t y_stride,
                      bool accumulate, const std::byte* ahead, int64_t ahead_lines) {
  constexpr int64_t blocks = Layout::unit / block_k, groups = Layout::groups_in_32;
  constexpr int half = block_steps / 2;
  Floats sum[vectors / 2][rows][2];
  Codes part[rows][2];  // of the first four steps, if all eight share a scale
  for (int v = 0; v < vectors; ++v)
    for (int r = 0; r < rows; ++r)
      sum[v / 2][r][v % 2] = accumulate ? load(y + r * y_stride + v * lanes) : all(0);
  const RoundedBlock* of_x = x.blocks;
  for (int64_t u = 0; u < units; ++u, panel += Layout::unit_bytes)
    for (int64_t b = 0; b < blocks; ++b, ++of_x) {
      for (int64_t i = 0; i < ahead_lines; ++i, ahead += line_bytes) __builtin_prefetch(ahead, 0, 2);
      for (int pair = 0; pair < vectors / 2; ++pair) {
        HWY_UNROLL(2)
        for (int h = 0; h < 2; ++h) {
          const int group = groups == 2 ? h : 0;
          const bool ends = groups == 2 || h == 1;  // the group
          Pair codes[2][2];
          Floats scale[2], offset[2];
          HWY_UNROLL(2)
          for (int i = 0; i < 2; ++i) {
            const int v = 2 * pair + i;
            codes[i][0] = pair_of<Layout>(panel + Layout::codes_at(b), h * half, v);
            codes[i][1] = pair_of<Layout>(panel + Layout::codes_at(b), h * half + 2, v);
            if (ends) scale[i] = scale_of<Layout>(panel, b * groups + group, v);
            if constexpr (Layout::has_offset) offset[i] = offset_of<Layout>(panel, b, v);
          }
          const RoundedBlock* row = of_x;
          HWY_UNROLL(1)
          for (int64_t r = 0; r < rows; ++r, row += x.row_blocks) {
            const int8_t* at = row->codes + h * half * 4;
            const Codes four[] = {four_codes(at), four_codes(at + 4), four_codes(at + 8),
                                  four_codes(at + 12)};
            HWY_UNROLL(2)
            for (int i = 0; i < 2; ++i) {
              const int first = narrow<Layout> ? h * half : 0;  // step of this sum
              Dot<Layout::bits> dot;
              dot.begin(!narrow<Layout> && groups == 1 && h == 1 ? part[r][i] : whole(row->starts[group]));
              if constexpr (narrow<Layout>) dot.pairs = part[r][i];  // step 0 ignores it
              dot.add(first, codes[i][0], four[0], four[1]);
              dot.add(first + 2, codes[i][1], four[2], four[3]);
              dot.end(first + half);
              if (!ends) {
                part[r][i] = first_half<Layout>(dot);
                continue;
              }
              Floats& of_row = sum[pair][r][i];
              of_row = multiply_add(floats(dot.sum), multiply(scale[i], row->scale), of_row);
              if constexpr (Layout::has_offset) of_row = multiply_add(offset[i], all(row->sum), of_row);
            }
          }
        }
      }
    }
  for (int v = 0; v < vectors; ++v)
    for (int r = 0; r < rows; ++r) store(sum[v / 2][r][v % 2], y + r * y_stride + v * lanes);
}

// The kernels of a format; tile_of<Layout, rows>() is that for two rows or more.
template <class TileOf>
const BlockKernels* kernels_of(Dtype type, TileOf) {
  return with_layout(type, []<class Layout>(Layout) {
    static constexpr BlockKernels kernels = make_block_kernels<12>([]<int64_t rows>() -> BlockTile {
      if constexpr (rows == 1)
        return row_tile<Layout>;
      else
        return TileOf{}.template operator()<Layout, rows>();
    });
    return &kernels;
  });
}
// tile() for all formats.
struct UsualTile {
  template <class Layout, int64_t rows>
  constexpr BlockTile operator()() const {
    return tile<Layout, rows>;
  }
};
