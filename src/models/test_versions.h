// For tests over the registry.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "models/model.h"

namespace aviary {

inline std::vector<std::string> version_names() {
  std::vector<std::string> names;
  for (const ModelVersion* version : model_versions()) names.emplace_back(version->name);
  return names;
}

// The name of a version as a test may be called.
inline std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
}

}  // namespace aviary
