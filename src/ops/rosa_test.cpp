#include "support/check_operator.h"

namespace aviary {
namespace {

using check::Doubles;

// The histories of `sequences` sequences before the first token.
struct Histories {
  Histories(Context& c, int64_t sequences, int64_t capacity, int64_t cols, Dtype dtype) {
    for (Var* part : {&keys, &values, &match}) {
      *part = {c.arena.tensor({sequences, capacity, cols}, dtype)};
      set_zero(part->value);
    }
  }
  Doubles read(Context& c, const Var& q, const Var& k, const Var& v, double missing) {
    append_history(c, k, keys);
    append_history(c, v, values);
    return to_host(rosa(c, q, keys, values, missing, match).value);
  }
  Var keys, values, match;
};

Doubles symbols(int64_t count, int64_t alphabet, Random& random) {
  Doubles values(static_cast<size_t>(count));
  for (double& value : values) value = static_cast<double>(random.below(alphabet));
  return values;
}

Var rows_of(Context& c, const Doubles& values, int64_t begin, int64_t rows, int64_t cols, Dtype dtype) {
  Var x{c.arena.tensor({rows, cols}, dtype)};
  from_host({values.begin() + begin * cols, values.begin() + (begin + rows) * cols}, x.value);
  return x;
}

// For every position, by comparing backward from it.
Doubles by_definition(const Doubles& q, const Doubles& k, const Doubles& v, size_t rows, size_t cols) {
  Doubles y(rows * cols, -1);
  for (size_t c = 0; c < cols; ++c)
    for (size_t i = 0; i < rows; ++i) {
      size_t longest = 1;
      for (size_t j = 0; j < i; ++j) {
        size_t length = 0;
        while (length <= j && q[(i - length) * cols + c] == k[(j - length) * cols + c]) ++length;
        if (length < longest) continue;
        longest = length;
        y[i * cols + c] = v[(j + 1) * cols + c];
      }
    }
  return y;
}

TEST(Rosa, AgreesWithItsDefinition) {
  Random random(1);
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (int64_t cols : {1, 13, 40})
      for (int64_t alphabet : {1, 2, 5}) {
        const int64_t rows = 70;
        const Doubles q = symbols(rows * cols, alphabet, random), k = symbols(rows * cols, alphabet, random),
                      v = symbols(rows * cols, alphabet, random);
        Arena arena;
        const Sequences one = Sequences::uniform(1, rows);
        Context c{arena, one};
        Histories past(c, 1, rows, cols, dtype);
        auto whole = [&](const Doubles& values) { return rows_of(c, values, 0, rows, cols, dtype); };
        EXPECT_EQ(past.read(c, whole(q), whole(k), whole(v), -1),
                  by_definition(q, k, v, static_cast<size_t>(rows), static_cast<size_t>(cols)))
            << cols << " channels, " << alphabet << " symbols";
      }
}

TEST(Rosa, ContinuesFromItsHistory) {
  Random random(2);
  const int64_t cols = 13, rows = 40;
  const Doubles q = symbols(rows * cols, 2, random), k = symbols(rows * cols, 2, random),
                v = symbols(rows * cols, 2, random);
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    Arena arena;
    Sequences one = Sequences::uniform(1, rows);
    Context whole{arena, one};
    Histories a(whole, 1, rows + 3, cols, dtype), b(whole, 1, rows + 3, cols, dtype);
    auto run = [&](Context& c, Histories& past, int64_t begin, int64_t count) {
      return past.read(c, rows_of(c, q, begin, count, cols, dtype), rows_of(c, k, begin, count, cols, dtype),
                       rows_of(c, v, begin, count, cols, dtype), -1);
    };
    const Doubles expected = run(whole, a, 0, rows);
    Doubles pieces;
    int64_t begin = 0;
    for (int64_t count : {1, 17, 1, 21}) {
      const Sequences piece = Sequences::uniform(1, count);
      Context c{arena, piece};
      c.positions = std::span(&begin, 1);
      const Doubles y = run(c, b, begin, count);
      pieces.insert(pieces.end(), y.begin(), y.end());
      begin += count;
    }
    EXPECT_EQ(pieces, expected);
    EXPECT_EQ(to_host(a.keys.value), to_host(b.keys.value));
    EXPECT_EQ(to_host(a.values.value), to_host(b.values.value));
    EXPECT_EQ(to_host(a.match.value), to_host(b.match.value));
  }
}

TEST(Rosa, RejectsMoreRowsThanTheHistoryCanHold) {
  Arena arena;
  const Sequences one = Sequences::uniform(1, 5);
  Context c{arena, one};
  Histories past(c, 1, 4, 2, Dtype::f32);
  Var x = c.result({5, 2}, Dtype::f32);
  try {
    rosa(c, x, past.keys, past.values, 0, past.match);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "rosa: 5 rows behind 0 need more than the capacity of 4");
  }
}

// The differences with respect to q, k and v are 0 as well: small changes do not change any sign.
TEST(RosaQkv, GradientsAreThoseAlmostEverywhere) {
  for (int64_t rows : {1, 15, 49}) {
    const Sequences sequences = ragged(rows);
    const int64_t N = sequences.rows(), C = 13;
    check_operator(
        {.sequences = sequences,
         .inputs = {{N, C}, {N, C}, {N, C}},
         .weights = {{1, 1, C}},
         .run = [=](Context& c, std::vector<Var>& x, std::vector<Weight>& w) {
           Histories past(c, 3, rows + 4, C, x[0].dtype());
           return std::vector{rosa_qkv(c, x[0], x[1], x[2], w[0], {past.keys, past.values, past.match})};
         }});
  }
}

}  // namespace
}  // namespace aviary
