#include "states/mix.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace aviary {
namespace {

std::span<float> numbers(const State& state, size_t part) {
  const Tensor tensor = state[part];
  return {tensor.as<float>(), static_cast<size_t>(tensor.count())};
}

// The part of this name; nothing if there is none.
std::optional<size_t> part_named(const StateLayout& layout, const std::string& name) {
  const std::vector<StateSpec>& specs = layout.specs();
  const auto found =
      std::find_if(specs.begin(), specs.end(), [&](const StateSpec& spec) { return spec.name == name; });
  if (found == specs.end()) return {};
  return static_cast<size_t>(found - specs.begin());
}

// RWKV-4 stores a sum as aa e^pp: for "blocks.0.att.aa" and its like the part of pp.
std::optional<size_t> exponent_of(const StateLayout& layout, const std::string& name) {
  if (!name.ends_with(".aa") && !name.ends_with(".bb")) return {};
  return part_named(layout, name.substr(0, name.size() - 2) + "pp");
}

void check_weights(std::span<const MixPart> parts, bool mean) {
  const StateLayout& layout = parts.front().stored->snapshot.state.layout();
  const bool has_exponents = std::any_of(layout.specs().begin(), layout.specs().end(),
                                         [](const StateSpec& spec) { return spec.name.ends_with(".pp"); });
  double sum = 0;
  for (const MixPart& part : parts) {
    require(std::isfinite(part.weight) && part.weight != 0,
            "the weight of a state in a mix is {}, expected a number other than 0", part.weight);
    require(!has_exponents || part.weight > 0,
            "the weight of a state in a mix is {}, expected more than 0: RWKV-4 divides by sums of weights",
            part.weight);
    sum += part.weight;
  }
  require(!mean || (std::isfinite(sum) && sum != 0), "the weights of a mix add up to {}; there is no mean",
          sum);
}

// Sets part `exponent` of `into` to the largest of all.
void take_largest(std::span<const MixPart> parts, size_t exponent, const State& into) {
  const std::span<float> largest = numbers(into, exponent);
  for (const MixPart& part : parts) {
    const std::span<float> own = numbers(part.stored->snapshot.state, exponent);
    for (size_t i = 0; i < largest.size(); ++i) largest[i] = std::max(largest[i], own[i]);
  }
}

// Sets part `place` of `into` to the weighted sum. `exponent`: of numbers that stand for themselves times e
// to the power of another part, which `into` has already.
void add_up(std::span<const MixPart> parts, double scale, size_t place, std::optional<size_t> exponent,
            const State& into) {
  const std::span<float> result = numbers(into, place);
  for (size_t i = 0; i < result.size(); ++i) {
    double sum = 0;
    for (size_t k = 0; k < parts.size(); ++k) {
      const State& state = parts[k].stored->snapshot.state;
      double term = parts[k].weight * scale * static_cast<double>(numbers(state, place)[i]);
      if (exponent)
        term *= std::exp(static_cast<double>(numbers(state, *exponent)[i]) -
                         static_cast<double>(numbers(into, *exponent)[i]));
      sum = k == 0 ? term : sum + term;  // 0 + -0 would lose the sign
    }
    result[i] = static_cast<float>(sum);
  }
}

}  // namespace

void require_sums(std::span<const MixPart> parts) {
  require(!parts.empty(), "a mix needs at least one state");
  const StoredSnapshot& first = *parts.front().stored;
  const StateLayout& layout = first.snapshot.state.layout();
  for (const StateSpec& spec : layout.specs())
    require(spec.kind == StateKind::recurrence || spec.kind == StateKind::shift,
            "{} cannot be mixed: its state keeps {}, which cannot be added", first.maker.base.name,
            spec.kind == StateKind::history ? "a row for every token" : "the last tokens themselves");
  require(layout.dtype() == Dtype::f32, "only states in float32 can be mixed");
  for (const MixPart& part : parts) {
    require_same_maker(part.stored->maker, first.maker, "the states of a mix");
    require(part.stored->snapshot.state.layout().matches(layout), "the states of a mix have different sizes");
  }
}

StoredSnapshot mixed(std::span<const MixPart> parts, bool mean) {
  require_sums(parts);
  check_weights(parts, mean);
  double sum = 0;
  for (const MixPart& part : parts) sum += part.weight;
  const StoredSnapshot& last = *parts.back().stored;
  StoredSnapshot mix{.snapshot = {last.snapshot.state}, .pending = last.pending, .maker = last.maker};
  if (parts.size() == 1 && parts[0].weight == 1) mix.snapshot.logits = last.snapshot.logits;
  State& state = mix.snapshot.state;
  const StateLayout& layout = state.layout();
  // Exponents first: their sums are relative to them.
  for (size_t part = 0; part < state.size(); ++part)
    if (layout.specs()[part].name.ends_with(".pp")) take_largest(parts, part, state);
  for (size_t part = 0; part < state.size(); ++part) {
    const StateSpec& spec = layout.specs()[part];
    if (spec.kind != StateKind::recurrence || spec.name.ends_with(".pp")) continue;
    add_up(parts, mean ? 1 / sum : 1, part, exponent_of(layout, spec.name), state);
  }
  for (const MixPart& part : parts)
    mix.tokens.insert(mix.tokens.end(), part.stored->tokens.begin(), part.stored->tokens.end());
  int64_t position = 0;
  for (const MixPart& part : parts) position += part.stored->snapshot.state.position();
  state.set_position(position);
  return mix;
}

}  // namespace aviary
