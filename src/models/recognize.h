// Recognizes a checkpoint from the names and shapes of its tensors: also versions and variants that are not
// supported, and models with missing tensors.
#pragma once

#include "models/registry.h"

namespace aviary {

struct Recognition {
  std::string name;                  // "rwkv7", or for a version that is not registered "rwkv6-x060a"
  std::string title;                 // "RWKV-6 Finch"
  ModelConfig config;                // the known sizes; 0: unknown
  std::vector<std::string> missing;  // tensors that are missing for this version; of very many some
  bool runnable = false;             // the version is registered and nothing is missing
};

// The config of a model of this version, if the tensors are those of one.
std::optional<ModelConfig> recognize_as(const ModelVersion& version, const ShapeMap& shapes);

// Nothing if it is not a known model.
std::optional<Recognition> recognize(const ShapeMap& shapes);

// The config of the version that these tensors are of. Throws Error, beginning with `where`, when there is
// none, when it does not run here, and when tensors are missing.
ModelConfig recognize_version(const ShapeMap& shapes, const std::string& where);

// "RWKV-6 Finch, 3 layers of width 64"
std::string describe(const Recognition& recognition);

}  // namespace aviary
