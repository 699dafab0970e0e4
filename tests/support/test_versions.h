// For tests over the registry.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "models/registry.h"

namespace aviary {

inline std::vector<std::string> version_names() {
  std::vector<std::string> names;
  for (const ModelVersion* version : model_versions()) names.emplace_back(version->name);
  return names;
}

// The name of a version in a form allowed in test names.
inline std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
}

// Sets its initial values, with some noise, so that nothing is zero and no two channels are equal.
inline std::unique_ptr<Model> noisy_model(const ModelConfig& config) {
  std::unique_ptr<Model> model = create_model(complete(config));
  Random random(3);
  for (Parameter& parameter : model->parameters()) {
    const Tensor& value = parameter.weight.value();
    parameter.spec.initialize(random, value);
    for (int64_t i = 0; i < value.count(); ++i)
      value.as<float>()[i] += static_cast<float>(0.1 * random.normal());
  }
  model->parameters().changed();
  return model;
}

// In double precision, initialized as for training, with some noise.
inline std::unique_ptr<Model> noisy_double_model(const ModelConfig& config) {
  std::unique_ptr<Model> model = create_model(complete(config), Dtype::f64);
  model->parameters().initialize(1);
  Random random(7);
  for (Parameter& parameter : model->parameters()) {
    std::vector<double> values = to_host(parameter.weight.value());
    for (double& value : values) value += 0.1 * random.normal();
    from_host(values, parameter.weight.value());
  }
  model->parameters().changed();
  return model;
}

}  // namespace aviary
