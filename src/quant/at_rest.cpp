#include "quant/at_rest.h"

#include "numbers/encoding.h"
#include "quant/plan.h"
#include "tensor/buffer.h"

namespace aviary {
namespace {

struct Encoded final : Rest {
  Encoded(const Tensor& values, Dtype type) : bytes(bytes_of(type, values.count())) {
    encode({values.as<float>(), static_cast<size_t>(values.count())}, type, data());
  }
  std::byte* data() const { return static_cast<std::byte*>(bytes.data()); }

  const Buffer bytes;
};

}  // namespace

void put_at_rest(Model& model, Dtype type) {
  for (Parameter& parameter : model.parameters()) {
    const TensorEntry entry = describe(parameter.spec);
    if (!is_matrix(entry)) continue;
    const Dtype of = planned_type(entry, type);
    const auto encoded = std::make_shared<const Encoded>(parameter.weight.value(), of);
    parameter.weight.rest(of, {encoded->data(), static_cast<size_t>(encoded->bytes.bytes())}, encoded);
  }
  model.parameters().freeze();
}

}  // namespace aviary
