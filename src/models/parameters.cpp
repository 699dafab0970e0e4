#include "models/parameters.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "models/orthonormal.h"

namespace aviary {
namespace init {
Initializer constant(double value) {
  return each([value](int64_t) { return value; });
}

Initializer uniform(double bound) {
  return [bound](Random& random, const Tensor& tensor) {
    std::vector<double> values(static_cast<size_t>(tensor.count()));
    for (double& value : values) value = random.uniform(-bound, bound);
    from_host(values, tensor);
  };
}

Initializer normal(double deviation) {
  return [deviation](Random& random, const Tensor& tensor) {
    std::vector<double> values(static_cast<size_t>(tensor.count()));
    for (double& value : values) value = deviation * random.normal();
    from_host(values, tensor);
  };
}

Initializer orthogonal(double gain) {
  return [gain](Random& random, const Tensor& tensor) {
    const int64_t rows = tensor.rows(), cols = tensor.cols();
    const int64_t tall = std::max(rows, cols), thin = std::min(rows, cols);
    std::vector<double> q(static_cast<size_t>(tall * thin));
    for (double& value : q) value = random.normal();
    orthonormalize(q, tall, thin);
    std::vector<double> values(q.size());
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c)
        values[static_cast<size_t>(r * cols + c)] =
            gain * q[static_cast<size_t>(rows >= cols ? c * rows + r : r * cols + c)];
    from_host(values, tensor);
  };
}

Initializer each(std::function<double(int64_t)> value) {
  return [value = std::move(value)](Random&, const Tensor& tensor) {
    std::vector<double> values(static_cast<size_t>(tensor.count()));
    for (size_t i = 0; i < values.size(); ++i) values[i] = value(static_cast<int64_t>(i));
    from_host(values, tensor);
  };
}

}  // namespace init

std::optional<Layout> layout_of(Use use) {
  switch (use) {
    case Use::vector:
    case Use::table:
      return {};
    case Use::out_in:
      return Layout::out_in;
    case Use::in_out:
    case Use::stack:
      return Layout::in_out;
  }
  return {};
}

Weight& ParameterTable::add(ParameterSpec spec) {
  Weight weight = Weight::without_numbers(spec.name, spec.shape, dtype_);
  Parameter& added = parameters_.emplace_back(Parameter{std::move(spec), std::move(weight)});
  by_name_.emplace(added.spec.name, &added);
  return added.weight;
}

Parameter* ParameterTable::find(std::string_view name) {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

int64_t ParameterTable::count() const {
  int64_t total = 0;
  for (const Parameter& parameter : parameters_) total += parameter.spec.shape.count();
  return total;
}

void ParameterTable::initialize(uint64_t seed) {
  uint64_t stream = 0;
  for (Parameter& parameter : parameters_) {
    Random random = Random(seed).split(stream++);
    parameter.spec.initialize(random, parameter.weight.value());
  }
  changed();
}

void ParameterTable::set_trainable(bool trainable) {
  for (Parameter& parameter : parameters_)
    parameter.weight.set_trainable(trainable && !parameter.spec.constant && parameter.weight.changeable());
}

void ParameterTable::allocate() {
  for (Parameter& parameter : parameters_) parameter.weight.allocate();
}

void ParameterTable::pack(kernels::Precision precision, const std::function<void(const Parameter&)>& before,
                          const Released& released) {
  require(!packed_for_ || *packed_for_ == precision,
          "the weights are packed for products in {}; a model runs in one precision, load it again for {}",
          name_of(kernels::type_of(packed_for_.value_or(precision))), name_of(kernels::type_of(precision)));
  for (Parameter& parameter : parameters_) {
    if (before && parameter.weight.has_numbers()) before(parameter);
    const std::optional<Layout> layout = layout_of(parameter.spec.use);
    // Optional parameters are not used.
    if (layout && !parameter.spec.optional) parameter.weight.pack(*layout, precision, released);
  }
  packed_for_ = precision;
}

void ParameterTable::changed() {
  for (Parameter& parameter : parameters_) parameter.weight.changed();
}

}  // namespace aviary
