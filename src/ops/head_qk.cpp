// Head-QK of the original RWKV ("learning to copy and avoid tokens"): attention without softmax over all
// tokens read, whose weights are added to the logits of these tokens.
//   c_tu = scale q_t k_u for u <= t;  logits[t, id_u] += c_tu  (or the largest c_tu of each id)
//   dq_t = scale sum_u g_tu k_u,  dk_u = scale sum_t g_tu q_t,  g_tu = dlogits[t, id_u] where c_tu counted
#include <algorithm>
#include <vector>

#include "base/threads.h"
#include "ops/ops.h"

namespace aviary {
namespace {

// The two sums used here, in float32 and in double precision.
void dot_rows(const double* q, const double* matrix, int64_t rows, int64_t cols, double* dots) {
  for (int64_t row = 0; row < rows; ++row) {
    dots[row] = 0;
    for (int64_t i = 0; i < cols; ++i) dots[row] += q[i] * matrix[row * cols + i];
  }
}
void add_weighted_rows(const double* weights, const double* matrix, int64_t rows, int64_t cols, double* y) {
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < cols; ++i) y[i] += weights[row] * matrix[row * cols + i];
}
using kernels::add_weighted_rows;
using kernels::dot_rows;

// A row of the step, and the part of its sequence's history that it sees.
struct Place {
  int64_t row, sequence, seen;
};

Place place_of(const Context& c, int64_t row) {
  int64_t s = 0;
  while (c.sequences.end(s) <= row) ++s;
  return {row, s, c.position(s) + row - c.sequences.begin(s) + 1};
}

// Calls body(u, id) for the tokens used in row `dots` [seen]: all of them, or for each id the first one with
// the largest dot product. `best` must contain -1 for every id, and does so again afterwards.
template <typename T, typename Body>
void for_counted(const T* dots, const T* ids, int64_t seen, bool largest, std::vector<int64_t>& best,
                 Body body) {
  auto id_at = [&](int64_t u) { return static_cast<size_t>(ids[u]); };
  if (!largest) {
    for (int64_t u = 0; u < seen; ++u) body(u, id_at(u));
    return;
  }
  for (int64_t u = 0; u < seen; ++u)
    if (int64_t& other = best[id_at(u)]; other < 0 || dots[u] > dots[other]) other = u;
  for (int64_t u = 0; u < seen; ++u)
    if (int64_t& other = best[id_at(u)]; other == u) {
      body(u, id_at(u));
      other = -1;
    } else if (other < u) {
      other = -1;
    }
}

template <typename T>
void add(Context& c, const Copies& copies, std::span<const int64_t> rows, T* logits, int64_t vocabulary) {
  const int64_t D = copies.q.cols(), capacity = copies.keys.shape()[1];
  const Places keys = places_of(c, copies.keys), ids = places_of(c, copies.ids);
  parallel_for(std::ssize(rows), 1, [&](int64_t begin, int64_t end) {
    std::vector<T> dots(static_cast<size_t>(capacity));
    std::vector<int64_t> best(copies.largest ? static_cast<size_t>(vocabulary) : 0, -1);
    for (int64_t r = begin; r < end; ++r) {
      const Place at = place_of(c, rows[static_cast<size_t>(r)]);
      dot_rows(copies.q.value.as<T>() + at.row * D, keys.as<T>()[at.sequence], at.seen, D, dots.data());
      for_counted(dots.data(), ids.as<T>()[at.sequence], at.seen, copies.largest, best,
                  [&](int64_t u, size_t id) {
                    logits[static_cast<size_t>(r * vocabulary) + id] +=
                        static_cast<T>(copies.scale) * dots[static_cast<size_t>(u)];
                  });
    }
  });
}

// g [rows, capacity]: scale * dlogits for token u of every row, 0 for tokens that are not used.
template <typename T>
void gather(Context& c, const Copies& copies, std::span<const int64_t> rows, const T* dlogits,
            int64_t vocabulary, T* g) {
  const int64_t D = copies.q.cols(), capacity = copies.keys.shape()[1];
  const Places keys = places_of(c, copies.keys), ids = places_of(c, copies.ids);
  parallel_for(std::ssize(rows), 1, [&](int64_t begin, int64_t end) {
    std::vector<T> dots(static_cast<size_t>(capacity));
    std::vector<int64_t> best(copies.largest ? static_cast<size_t>(vocabulary) : 0, -1);
    std::fill(g + begin * capacity, g + end * capacity, T(0));
    for (int64_t r = begin; r < end; ++r) {
      const Place at = place_of(c, rows[static_cast<size_t>(r)]);
      if (copies.largest)
        dot_rows(copies.q.value.as<T>() + at.row * D, keys.as<T>()[at.sequence], at.seen, D, dots.data());
      for_counted(dots.data(), ids.as<T>()[at.sequence], at.seen, copies.largest, best,
                  [&](int64_t u, size_t id) {
                    g[r * capacity + u] =
                        static_cast<T>(copies.scale) * dlogits[static_cast<size_t>(r * vocabulary) + id];
                  });
    }
  });
}

template <typename T>
void backward(Context& c, const Copies& copies, std::span<const int64_t> rows, const T* dlogits,
              int64_t vocabulary) {
  const int64_t D = copies.q.cols(), capacity = copies.keys.shape()[1];
  const Tensor dq = c.tape->gradient(copies.q), dkeys = c.tape->gradient(copies.keys);
  const Places keys = places_of(c, copies.keys);
  const Tensor weights = c.tape->scratch({std::ssize(rows), capacity}, copies.q.dtype());
  T* g = weights.as<T>();
  gather(c, copies, rows, dlogits, vocabulary, g);
  if (!dq.empty())
    parallel_for(std::ssize(rows), 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const Place at = place_of(c, rows[static_cast<size_t>(r)]);
        add_weighted_rows(g + r * capacity, keys.as<T>()[at.sequence], at.seen, D, dq.as<T>() + at.row * D);
      }
    });
  if (!dkeys.empty())
    parallel_for(capacity, 8, [&](int64_t begin, int64_t end) {  // rows of the histories
      for (int64_t r = 0; r < std::ssize(rows); ++r) {
        const Place at = place_of(c, rows[static_cast<size_t>(r)]);
        for (int64_t u = begin; u < std::min(end, at.seen); ++u)
          add_weighted_rows(g + r * capacity + u, copies.q.value.as<T>() + at.row * D, 1, D,
                            part_of(dkeys, at.sequence).as<T>() + u * D);
      }
    });
  c.tape->release(weights);
}

void check_shapes(const Context& c, const Copies& copies) {
  const int64_t D = copies.q.cols(), S = c.sequences.count(), capacity = copies.keys.shape()[1];
  require_shape("head_qk", "q", copies.q.shape(), {c.sequences.rows(), D});
  require_shape("head_qk", "keys", copies.keys.shape(), {S, capacity, D});
  require_shape("head_qk", "ids", copies.ids.shape(), {S, capacity, 1});
}

}  // namespace

void add_copies(Context& c, const Copies& copies, std::span<const int64_t> rows, const Tensor& logits) {
  if (copies.empty()) return;
  check_shapes(c, copies);
  if (logits.dtype() == Dtype::f64)
    add(c, copies, rows, logits.as<double>(), logits.cols());
  else
    add(c, copies, rows, logits.as<float>(), logits.cols());
}

void add_copies_backward(Context& c, const Copies& copies, std::span<const int64_t> rows,
                         const Tensor& dlogits) {
  if (copies.empty()) return;
  if (dlogits.dtype() == Dtype::f64)
    backward(c, copies, rows, dlogits.as<double>(), dlogits.cols());
  else
    backward(c, copies, rows, dlogits.as<float>(), dlogits.cols());
}

}  // namespace aviary
