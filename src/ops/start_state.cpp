// A learned initial state for sequences that have not read any token yet.
//   next_s = weight^T if position(s) = 0, else state_s;  dweight = sum of dnext_s^T, dstate_s = dnext_s
#include "ops/accumulate.h"
#include "ops/ops.h"

namespace aviary {
namespace {

// [H, a, b] -> [H, b, a]; a = b = n.
std::vector<double> transposed(const std::vector<double>& values, int64_t n) {
  std::vector<double> turned(values.size());
  for (int64_t i = 0; i < static_cast<int64_t>(values.size()); ++i) {
    const int64_t begin = i / (n * n) * (n * n), a = i % (n * n) / n, b = i % n;
    turned[static_cast<size_t>(begin + b * n + a)] = values[static_cast<size_t>(i)];
  }
  return turned;
}

}  // namespace

void start_state(Context& c, Weight& weight, Var& state) {
  const Shape& shape = state.shape();
  require(shape.rank() == 4 && shape[2] == shape[3], "start_state: state has shape {}, expected [S, H, n, n]",
          shape);
  require_shape("start_state", weight.name().c_str(), weight.shape(), {shape[1], shape[2], shape[3]});
  const int64_t sequences = shape[0], n = shape[2];
  bool any = false;
  for (int64_t s = 0; s < sequences; ++s) any |= c.position(s) == 0;
  if (!any) return;
  const Var before = state, next = c.next_state(state);
  const Places from = places_of(c, before), to = places_of(c, next);
  auto* begins = static_cast<bool*>(c.arena.allocate(sequences));
  const std::vector<double> first = transposed(to_host(weight.value()), n);
  for (int64_t s = 0; s < sequences; ++s) {
    begins[s] = c.position(s) == 0;
    if (begins[s])
      from_host(first, part_of(next, to, s));
    else if (c.tape)
      copy(part_of(before, from, s), part_of(next, to, s));
  }
  state = next;
  if (!c.tape) return;
  c.tape->record({next}, [=, &weight](Tape& tape) {
    const Tensor dnext = tape.gradient(next), dstate = tape.gradient(before);
    std::vector<double> sum(static_cast<size_t>(weight.shape().count()));
    for (int64_t s = 0; s < sequences; ++s) {
      if (!begins[s]) {
        if (!dstate.empty()) accumulate(part_of(dnext, s), part_of(dstate, s));
        continue;
      }
      const std::vector<double> own = to_host(part_of(dnext, s));
      for (size_t i = 0; i < own.size(); ++i) sum[i] += own[i];
    }
    if (!weight.trainable()) return;
    std::vector<double> total = to_host(weight.gradient());
    sum = transposed(sum, n);
    for (size_t i = 0; i < total.size(); ++i) total[i] += sum[i];
    from_host(total, weight.gradient());
  });
}

}  // namespace aviary
