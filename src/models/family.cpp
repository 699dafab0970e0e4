#include "models/family.h"

namespace aviary {

StateSize state_size(const std::vector<StateSpec>& specs) {
  StateSize size;
  for (const StateSpec& spec : specs) (spec.history ? size.per_token : size.fixed) += spec.shape.count();
  return size;
}

FamilyMember family_member(const ModelVersion& version, const FamilySizes& sizes) {
  const auto model = create_model({.version = version.name,
                                   .n_layer = sizes.layers,
                                   .n_embd = sizes.width,
                                   .vocab_size = sizes.vocabulary,
                                   .ctx_len = sizes.context});
  const std::string last = fmt::format("blocks.{}.", sizes.layers - 1);
  std::vector<StateSpec> layer, beside;
  for (const StateSpec& spec : model->state_specs()) {
    if (spec.name.starts_with(last)) layer.push_back(spec);
    const bool is_text = spec.name == "window";  // the tokens themselves, where there is a context limit
    if (!spec.name.starts_with("blocks.") && !is_text) beside.push_back(spec);
  }
  return {.version = &version,
          .parameters = model->parameters().count(),
          .layer = state_size(layer),
          .beside = state_size(beside),
          .context_limit = model->context_limit()};
}

}  // namespace aviary
