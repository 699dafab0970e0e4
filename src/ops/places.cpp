#include "ops/places.h"

namespace aviary {
namespace {

template <typename T>
void* table_of(Arena& arena, const Tensor& all) {
  const int64_t S = all.shape()[0], count = all.count() / S;
  auto** table = static_cast<T**>(arena.allocate(S * static_cast<int64_t>(sizeof(T*))));
  for (int64_t s = 0; s < S; ++s) table[s] = all.as<T>() + s * count;
  return table;
}

Shape shape_of_part(const Shape& all) {
  Shape shape;
  for (int axis = 1; axis < all.rank(); ++axis) shape.append(all[axis]);
  return shape;
}

}  // namespace

Places places_of(Context& c, const Var& state) {
  if (state.places.table) return state.places;
  return {state.dtype() == Dtype::f64 ? table_of<double>(c.arena, state.value)
                                      : table_of<float>(c.arena, state.value)};
}

Tensor part_of(const Var& state, const Places& places, int64_t s) {
  void* part = state.dtype() == Dtype::f64 ? static_cast<void*>(places.as<double>()[s])
                                           : static_cast<void*>(places.as<float>()[s]);
  return {part, shape_of_part(state.shape()), state.dtype()};
}

Tensor part_of(const Tensor& tensor, int64_t s) {
  if (tensor.empty()) return {};
  const Shape shape = shape_of_part(tensor.shape());
  return {static_cast<char*>(tensor.data()) + s * shape.count() * size_of(tensor.dtype()), shape,
          tensor.dtype()};
}

Var keep(Context& c, const Var& state) {
  if (c.tape) return state;  // operators put the next state elsewhere
  const Var kept{c.arena.tensor(state.shape(), state.dtype())};
  const Places places = places_of(c, state);
  for (int64_t s = 0; s < state.shape()[0]; ++s) copy(part_of(state, places, s), part_of(kept.value, s));
  return kept;
}

}  // namespace aviary
