// What a checkpoint is, told by the names and shapes of its tensors alone: also of versions and relatives
// that this program does not run, and of models from which tensors are missing.
#pragma once

#include "models/registry.h"

namespace aviary {

struct Recognition {
  std::string name;                  // "rwkv7", or of a version that is not registered "rwkv6-x060a"
  std::string title;                 // "RWKV-6 Finch"
  ModelConfig config;                // what is known of the sizes; 0: unknown
  std::vector<std::string> missing;  // tensors that the version needs and that are not there
  bool runnable = false;             // the version is registered and nothing is missing
};

// The config of a model of this version, when the tensors are those of one.
std::optional<ModelConfig> recognize_as(const ModelVersion& version, const ShapeMap& shapes);

// Nothing when it is no model that is known here.
std::optional<Recognition> recognize(const ShapeMap& shapes);

// The config of the version that these tensors are of. Throws Error, beginning with `where`, when there is
// none, when it does not run here, and when tensors are missing.
ModelConfig recognize_version(const ShapeMap& shapes, const std::string& where);

// "RWKV-6 Finch, 3 layers of width 64"
std::string describe(const Recognition& recognition);

}  // namespace aviary
