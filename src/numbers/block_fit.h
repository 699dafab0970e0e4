// Common to the encoders of all block formats: a group of numbers x is represented by integers q between
// `low` and `high` with x ~ scale * q + offset. For a given line (scale and offset), rounding gives the best
// q; for given q, least squares gives the best line. The fit tries several lines, then improves the best one
// by alternating the two.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "numbers/dtype.h"

namespace aviary {

struct Line {
  float scale = 0, offset = 0;
};

enum class Offset { zero, any, not_positive };

// The nearest finite f16.
inline f16 to_finite_f16(float x) { return to_f16(std::clamp(x, -65504.0f, 65504.0f)); }
// Rounds a scale to f16. Subnormal f16 are sparse, so there the next one above x is taken: with a scale that
// is much too small, integers would exceed their range.
inline f16 to_unit(float x) {
  f16 half = to_finite_f16(x);
  if (std::abs(to_float(half)) < std::abs(x) * (1 - 0x1p-10f) && (half.bits & 0x7fff) < 0x7bff) ++half.bits;
  return half;
}
inline Line to_halves(Line line) {
  return {to_float(to_unit(line.scale)), to_float(to_finite_f16(line.offset))};
}

// Makes numbers representable: NaN becomes zero, magnitudes are limited to the range of the formats, and
// numbers too small for every format become zero. The arithmetic below relies on this.
inline float storable(float x) {
  const bool counts = std::abs(x) >= 0x1p-30f;  // false for NaN
  return counts ? std::clamp(x, -0x1p29f, 0x1p29f) : 0.0f;
}

template <int count, int low, int high, Offset kind>
class Fit {
 public:
  // The best line found; `storable_line` rounds any line to one that the format can store.
  template <typename StorableLine>
  static Line best_line(const float* x, StorableLine storable_line) {
    float least = x[0], most = x[0], sum = 0;
    for (int i = 0; i < count; ++i) {
      least = std::min(least, x[i]);
      most = std::max(most, x[i]);
      sum += x[i];
    }
    Line best;
    Sums best_sums = sums(x, best);
    auto try_line = [&](Line line) {
      line = storable_line(line);
      const Sums s = sums(x, line);
      if (!(s.error < best_sums.error)) return false;
      best = line, best_sums = s;
      return true;
    };
    if constexpr (kind == Offset::zero) {  // the number of largest magnitude becomes the highest or the
                                           // lowest integer
      const float extreme = -least > most ? least : most;
      for (float wider = -1; wider <= 1; wider += 0.5f) {
        try_line({extreme / (static_cast<float>(high) + wider), 0});
        try_line({extreme / (static_cast<float>(low) - wider), 0});
      }
    } else {
      const float offset = kind == Offset::not_positive ? std::min(least, 0.0f) : least;
      for (float wider = -1; wider <= 1; wider += 0.25f)
        try_line({(most - offset) / (static_cast<float>(high) + wider), offset});
    }
    for (int step = 0; step < 3 && try_line(least_squares(best_sums, sum)); ++step) {
    }
    return best;
  }

  // The integers of the group, and the squared error of the numbers that they and the line represent.
  static void round(const float* x, Line line, float* q) {
    const float inverse = inverse_of(line);
    for (int i = 0; i < count; i += 4) {
      const Four levels = round(load(x + i), line, inverse);
      std::memcpy(q + i, &levels, sizeof(levels));
    }
  }
  static float error(const float* x, Line line) { return sums(x, line).error; }

 private:
  using Four = float __attribute__((vector_size(16)));

  struct Sums {
    float error, q, qq, xq;  // sums of squares, of q, of q * q, of x * q
  };

  static Four load(const float* x) {
    Four four;
    std::memcpy(&four, x, sizeof(four));
    return four;
  }
  static float sum_of(Four x) { return (x[0] + x[1]) + (x[2] + x[3]); }

  static float inverse_of(Line line) { return line.scale != 0 ? 1 / line.scale : 0; }

  // Adding 1.5 * 2^23 leaves a float no bits for a fraction: it rounds.
  static Four round(Four x, Line line, float inverse) {
    const Four lowest = Four{} + static_cast<float>(low), highest = Four{} + static_cast<float>(high);
    const Four place = (x - line.offset) * inverse;
    const Four not_below = place < lowest ? lowest : place;
    const Four inside = not_below > highest ? highest : not_below;
    return (inside + 0x1.8p23f) - 0x1.8p23f;
  }

  static Sums sums(const float* x, Line line) {
    static_assert(count % 4 == 0);
    const float inverse = inverse_of(line);
    Four error{}, sum_q{}, sum_qq{}, sum_xq{};
    for (int i = 0; i < count; i += 4) {
      const Four value = load(x + i), q = round(value, line, inverse);
      const Four difference = value - (line.scale * q + line.offset);
      error += difference * difference;
      sum_q += q;
      sum_qq += q * q;
      sum_xq += value * q;
    }
    return {sum_of(error), sum_of(sum_q), sum_of(sum_qq), sum_of(sum_xq)};
  }

  // The line through the points (q, x) with the smallest squared error.
  static Line least_squares(const Sums& s, float sum_x) {
    const float through_zero = s.qq > 0 ? s.xq / s.qq : 0;
    if (kind == Offset::zero) return {through_zero, 0};
    const float spread = count * s.qq - s.q * s.q;
    const float scale = spread > 0 ? (count * s.xq - s.q * sum_x) / spread : 0;
    const float offset = (sum_x - scale * s.q) / count;
    if (kind == Offset::not_positive && offset > 0) return {std::max(through_zero, 0.0f), 0};
    return {scale, offset};
  }
};

}  // namespace aviary
