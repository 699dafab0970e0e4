#include "models/cost.h"

#include "base/human.h"

namespace aviary {
namespace {

// "3.43 million"
std::string human_count(int64_t count) {
  const auto number = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.3g} billion", number / 1e9);
  if (count >= 1'000'000) return fmt::format("{:.3g} million", number / 1e6);
  return with_commas(count);
}

}  // namespace

TokenCost token_cost(Model& model, kernels::Precision precision) {
  TokenCost cost{.of_head = model.head().shape().count(), .context_limit = model.context_limit()};
  for (const Parameter& parameter : model.parameters()) {
    const ParameterSpec& spec = parameter.spec;
    if (spec.use == Use::table) continue;
    const bool multiplied = layout_of(spec.use).has_value(),
               rounded = multiplied && parameter.weight.stored_type() == Dtype::f32;
    if (multiplied) cost.multiplications += spec.shape.count();
    cost.weight_bytes +=
        rounded ? bytes_of(kernels::type_of(precision), spec.shape.count()) : parameter.weight.bytes();
  }
  for (const StateSpec& spec : model.state_specs()) {
    const int64_t numbers = spec.shape.count();
    const bool history = spec.kind == StateKind::history;
    (history ? cost.state_growth : cost.state_bytes) += 4 * numbers;
    if (history) cost.per_earlier_token += numbers;
  }
  return cost;
}

std::string describe(const TokenCost& cost) {
  std::string text = fmt::format("a token costs {} multiplications", human_count(cost.multiplications));
  if (cost.state_growth == 0)
    return text + fmt::format(" at any position; the state has {}", human_bytes(cost.state_bytes));
  text += fmt::format(" and {} for every token before it; the state grows by {} a token",
                      human_count(cost.per_earlier_token), human_bytes(cost.state_growth));
  if (cost.context_limit > 0)
    text += fmt::format("; it looks at {} tokens: beyond, the last {} are read again for every token",
                        with_commas(cost.context_limit), with_commas(cost.context_limit));
  return text;
}

}  // namespace aviary
