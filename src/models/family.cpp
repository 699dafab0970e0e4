#include "models/family.h"
#include "models/registry.h"

namespace aviary {

StateSize state_size(const std::vector<StateSpec>& specs) {
  StateSize size;
  for (const StateSpec& spec : specs)
    (spec.kind == StateKind::history ? size.per_token : size.fixed) += spec.shape.count();
  return size;
}

FamilyMember family_member(const ModelVersion& version, const FamilySizes& sizes) {
  auto model_of = [&](int64_t layers) {
    return create_model({.version = version.name,
                         .n_layer = layers,
                         .n_embd = sizes.width,
                         .vocab_size = sizes.vocabulary,
                         .ctx_len = sizes.context});
  };
  const auto model = model_of(sizes.layers), deeper = model_of(sizes.layers + 1);
  const StateSize all = state_size(model->state_specs()), more = state_size(deeper->state_specs());
  const StateSize layer{more.fixed - all.fixed, more.per_token - all.per_token};
  return {.version = &version,
          .parameters = model->parameters().count(),
          .layer = layer,
          .beside = {all.fixed - sizes.layers * layer.fixed - model->context_limit(),
                     all.per_token - sizes.layers * layer.per_token},
          .context_limit = model->context_limit()};
}

}  // namespace aviary
