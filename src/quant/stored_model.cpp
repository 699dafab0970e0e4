#include "quant/stored_model.h"

#include "models/run.h"
#include "numbers/encoding.h"
#include "quant/plan.h"
#include "tensor/buffer.h"

namespace aviary {

void store_matrices(Model& model, Dtype type, std::optional<kernels::Precision> precision) {
  for (Parameter& parameter : model.parameters()) {
    const TensorEntry entry = describe(parameter.spec);
    if (!is_matrix(entry) || parameter.spec.use == Use::vector) continue;
    const Dtype of = planned_type(entry, type);
    const Tensor& value = parameter.weight.value();
    const auto encoded = std::make_shared<const Buffer>(bytes_of(of, value.count()));
    auto* data = static_cast<std::byte*>(encoded->data());
    encode({value.as<float>(), static_cast<size_t>(value.count())}, of, data);
    parameter.weight.store({of, {data, static_cast<size_t>(encoded->bytes())}, encoded});
  }
  model.parameters().pack(precision.value_or(usual_precision(model)));
}

}  // namespace aviary
